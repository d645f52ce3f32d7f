"""Media files: reading, checking and copying them.

``stream`` has the bytes in order, ``mp4``, ``webm`` and ``images`` know one format each, ``probe``
picks one, ``copy`` stores a file in S3. Imports ``net`` and ``tasks``.
"""
