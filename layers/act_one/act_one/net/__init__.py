"""The only ways out of this account to hosts that are not AWS.

``addresses`` says where a URL leads and whether that is allowed, ``dialing`` connects, ``exchange``
makes one bounded request, ``downloads`` streams a body. Imports the ground modules only.
"""
