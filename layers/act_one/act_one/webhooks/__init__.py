"""Signed webhooks to the endpoints that users specify.

``delivery`` makes one delivery attempt, ``queue`` runs attempts concurrently, ``secrets`` derives
each client's secret. Imports ``provider`` for the form of its callbacks, ``tasks`` and ``net``.
"""
