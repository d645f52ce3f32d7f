"""Requests that arrive as files in a folder or as messages; each ends in a call of ``submit``.

``messages`` handles the messages of the ingest queue, ``folders`` one folder of the uploads bucket,
``results`` writes the ends of its tasks, ``pairs`` stores which files were submitted from it,
``context`` holds what they share. Imports ``inputs``, ``media`` and ``tasks``; ``submit`` is a
parameter.
"""
