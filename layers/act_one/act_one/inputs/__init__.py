"""The request, its two input files and the bucket that holds them.

Imports ``media``, ``net``, ``tasks`` and the modules outside packages.
"""
