"""Complete media files of a chosen size, made without ffmpeg; they can't be played."""

import struct

from tools.media_files.edit import box, png_chunk

_FTYP = box(b"ftyp", b"isom\0\0\2\0isommp42")
_SECONDS = 5
_MATRIX = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)


def small_mp4(size=1_000, *, index_last=False, shown=(640, 360), mark=b""):
    """An MP4 of ``size`` bytes (at least 600) and 5 s; its one sample begins with ``mark``."""
    media_bytes = size - len(_FTYP) - len(_index(0, 0, shown)) - 8
    padding = bytes(range(256)) * (media_bytes // 256 + 1)
    media = box(b"mdat", (mark + padding)[:media_bytes])
    starts = len(_FTYP) + 8 + (0 if index_last else len(_index(0, 0, shown)))
    index = _index(starts, media_bytes, shown)
    return _FTYP + (media + index if index_last else index + media)


def _index(starts, media_bytes, shown):
    width, height = shown
    entry = bytes(24) + struct.pack(">HH", width, height) + bytes(50)
    table = (
        box(b"stsd", struct.pack(">II", 0, 1) + box(b"avc1", entry)),
        box(b"stts", struct.pack(">IIII", 0, 1, 1, _SECONDS * 1_000)),
        box(b"stsc", struct.pack(">IIIII", 0, 1, 1, 1, 1)),
        box(b"stsz", struct.pack(">III", 0, media_bytes, 1)),
        box(b"stco", struct.pack(">III", 0, 1, starts)),
    )
    media = (
        box(b"mdhd", struct.pack(">IIIIII", 0, 0, 0, 1_000, _SECONDS * 1_000, 0)),
        box(b"hdlr", bytes(8) + b"vide" + bytes(13)),
        box(b"minf", box(b"stbl", b"".join(table))),
    )
    size = struct.pack(">II", width << 16, height << 16)
    header = struct.pack(">IIIIII", 1, 0, 0, 1, 0, _SECONDS * 1_000) + bytes(16) + _MATRIX + size
    movie = struct.pack(">IIIII", 0, 0, 0, 1_000, _SECONDS * 1_000) + bytes(16) + _MATRIX
    track = box(b"trak", box(b"tkhd", header) + box(b"mdia", b"".join(media)))
    return box(b"moov", box(b"mvhd", movie + bytes(28)) + track)


def small_png(size=100, mark=b""):
    """A PNG of ``size`` bytes (at least 57) and 16x9 pixels; its data begins with ``mark``."""
    header = struct.pack(">IIBBBBB", 16, 9, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", (mark + bytes(size))[: size - 57]), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)
