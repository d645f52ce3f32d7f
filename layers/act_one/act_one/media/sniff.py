"""Recognises a media type by the first bytes of a file."""

from typing import Final

from act_one.media.facts import MediaFileError

SNIFF_BYTES: Final = 64
_MIN_SNIFF_BYTES: Final = 12

_FTYP_BRANDS: Final = {
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"M4P ": "audio/mp4",
    b"F4A ": "audio/mp4",
    b"F4B ": "audio/mp4",
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"avio": "image/avif",
    b"jxl ": "image/jxl",
    b"jp2 ": "image/jp2",
    b"crx ": "image/x-canon-cr3",
    **dict.fromkeys(
        (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"),
        "image/heic",
    ),
}
_QUICKTIME_FIRST_BOXES: Final = {b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}
"""First boxes of QuickTime files that are older than ``ftyp``."""

_RIFF_FORMS: Final = {b"WEBP": "image/webp", b"AVI ": "video/x-msvideo"}
_TRANSPORT_STREAM_TABLES: Final = {b"G@\x00", b"G@\x11"}
"""The first packet of an MPEG transport stream begins its table of programs or of services."""


def sniff(head: bytes) -> str | None:
    """Return the media type of a file that begins with ``head``, or None if it isn't recognised.

    12 bytes are enough; only with ``SNIFF_BYTES`` are WebM and other Matroska told apart.
    """
    kind = head[4:8]
    if kind == b"ftyp":
        return _FTYP_BRANDS.get(head[8:12], "video/mp4")
    if kind in _QUICKTIME_FIRST_BOXES and (kind == b"mdat" or head[0] == 0):
        return "video/quicktime"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "video/x-matroska" if b"\x42\x82\x88matroska" in head else "video/webm"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head[:4] == b"RIFF":
        return _RIFF_FORMS.get(head[8:12])
    if head[:3] in _TRANSPORT_STREAM_TABLES and head[3:4] and head[3] & 0xF0 == 0x10:
        return "video/mp2t"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return None


def unsupported_type(head: bytes) -> MediaFileError:
    """Return the error for a file of an unsupported format, naming the format if possible."""
    if len(head) < _MIN_SNIFF_BYTES:
        return MediaFileError("media_cut_off", f"it has only {len(head)} bytes")
    found = sniff(head)
    if found is not None:
        return MediaFileError("media_wrong_type", f"it is {found}", found)
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<body", b"<?xml", b"<!--")):
        found = "a web page or XML, which servers often send in place of a missing file"
    elif start.startswith((b"{", b"[")):
        found = "JSON, which servers often send in place of a missing file"
    elif head.startswith(b"\x1f\x8b"):
        found = "compressed with gzip"
    else:
        return MediaFileError(
            "media_unknown_type", "its format is not a known video or image format"
        )
    return MediaFileError("media_wrong_type", f"it is {found}")
