"""CometAPI: the only package that knows the provider's words.

``outcomes`` are its answers in our types, ``replies`` parses them, ``client`` calls it,
``callback_token`` makes and checks the URLs it calls. For clients that were written for it,
``documents`` writes our tasks in its JSON and ``serving`` replies as it does. Imports ``net`` and
``tasks``.
"""
