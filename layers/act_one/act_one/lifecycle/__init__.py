"""What happens to a task from its submission to its end.

A module per action; ``next_step`` is the pure decision that several of them share, ``services`` is
what they work with. Imports ``inputs``, ``provider``, ``media``, ``tasks``, ``net`` and the ground.
"""
