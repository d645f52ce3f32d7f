"""Lists what the stack's roles may do and why, and what deploying the stack needs."""
