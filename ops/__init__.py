"""Commands for whoever operates a deployed stack; they ship nowhere."""
