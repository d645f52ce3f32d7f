"""Clients: who may ask, by which API keys, and within which limits.

Imports `tasks` and the ground modules.
"""
