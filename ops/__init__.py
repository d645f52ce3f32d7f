"""Commands for the operator of a deployed stack; no function contains them."""
