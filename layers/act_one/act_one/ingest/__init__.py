"""Requests that come as files in a folder or as messages; each ends in a call of ``submit``.

``messages`` reads what the ingest queue brings, ``folders`` looks at one folder of the uploads
bucket, ``pairs`` remembers which files were taken from it. Imports ``inputs`` and ``tasks``;
``submit`` is a parameter.
"""
