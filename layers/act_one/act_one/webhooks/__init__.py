"""Signed calls of the endpoints that users name.

``delivery`` makes one call, ``queue`` decides how many run side by side. Imports ``tasks`` and
``net``.
"""
