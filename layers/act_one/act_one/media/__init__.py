"""Media files: check them and copy them to S3.

``sniff`` recognises a format; ``mp4``, ``webm`` and ``images`` parse one from a ``stream`` and
return its ``facts``; ``probe`` runs them over a download or a remote file; ``copy`` stores a file
in S3. Imports ``net`` and ``tasks``.
"""
