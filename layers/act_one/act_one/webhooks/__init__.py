"""Signed webhooks to the endpoints that users specify.

``delivery`` makes one delivery attempt, ``queue`` runs attempts concurrently. Imports ``tasks`` and
``net``.
"""
