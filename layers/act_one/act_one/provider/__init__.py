"""CometAPI: the only package that knows the provider's words.

``outcomes`` are its answers in our types, ``replies`` parses them, ``client`` calls it,
``callback_token`` makes and checks the URLs it calls. Imports ``net`` and ``tasks``.
"""
