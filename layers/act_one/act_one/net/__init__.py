"""The only ways out of this account to hosts that are not AWS.

``urls`` parses, ``addresses`` says what is allowed, ``dialing`` connects, ``sending`` and
``response`` speak HTTP. On top of them, ``exchange`` makes one paid request and ``downloads``
fetches from addresses that others chose. Imports the ground modules only.
"""
