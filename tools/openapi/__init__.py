"""The description of the HTTP API: ``docs/openapi.json``, made from the code.

``python -m tools.openapi`` writes it. A route of the template needs an entry in ``routes.py``, and
the code of a problem an entry in ``docs/problems.md``; what is missing is named.
"""
