"""Media and the replies that bring them, as a provider's content network would send them."""

import struct
import zlib


def box(kind, *parts):
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def numbers(*values):
    return struct.pack(f">{len(values)}I", *values)


def mp4(size, mark=b""):
    """A whole MP4 of that many bytes, a second of one 320x180 picture, that nobody could watch."""
    start = box(b"ftyp", b"isom", numbers(512), b"isom")
    matrix = numbers(0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    entry = struct.pack(">6xH16xHH50x", 1, 320, 180)

    def index(offset, length):
        table = box(
            b"stbl",
            box(b"stsd", numbers(0, 1), box(b"avc1", entry)),
            box(b"stts", numbers(0, 1, 1, 1_000)),
            box(b"stsc", numbers(0, 1, 1, 1, 1)),
            box(b"stsz", numbers(0, length, 1)),
            box(b"stco", numbers(0, 1, offset)),
        )
        media = box(
            b"mdia",
            box(b"mdhd", numbers(0, 0, 0, 1_000, 1_000, 0)),
            box(b"hdlr", numbers(0, 0), b"vide", bytes(13)),
            box(b"minf", table),
        )
        shown = numbers(320 << 16, 180 << 16)
        track = box(b"tkhd", numbers(1, 0, 0, 1, 0, 1_000), bytes(16), matrix, shown)
        header = box(b"mvhd", numbers(0, 0, 0, 1_000, 1_000), bytes(16), matrix, bytes(28))
        return box(b"moov", header, box(b"trak", track, media))

    data_at = len(start) + len(index(0, 0)) + 8
    length = size - data_at
    pictures = (mark + bytes(range(256)) * (length // 256 + 1))[:length]
    return start + index(data_at, length) + box(b"mdat", pictures)


def png(mark=b""):
    """A whole PNG of 16x9 grey pixels with a long comment."""

    def chunk(kind, content):
        checked = kind + content
        return numbers(len(content)) + checked + numbers(zlib.crc32(checked))

    pixels = zlib.compress(bytes(17) * 9)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 9, 8, 0, 0, 0, 0))
    comment = chunk(b"tEXt", b"Comment\0" + mark + b"pixel" * 2_000)
    return b"\x89PNG\r\n\x1a\n" + head + comment + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


MP4 = mp4(300_000)
PNG = png()
HTML = b"<html><body>This link has expired.</body></html>"

OK = b"HTTP/1.1 200 OK\r\n"


def with_length(content, length=None, headers=b""):
    announced = len(content) if length is None else length
    return OK + headers + b"Content-Length: %d\r\n\r\n" % announced + content


def in_chunks(content, size=10_000, end=b"0\r\n\r\n"):
    chunks = (content[start : start + size] for start in range(0, len(content), size))
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return OK + b"Transfer-Encoding: chunked\r\n\r\n" + body + end


def until_closed(content):
    return OK + b"\r\n" + content


def status(code, headers=b""):
    return b"HTTP/1.1 %d X\r\n" % code + headers + b"Content-Length: 0\r\n\r\n"


def serves(content, then=None):
    """A treatment: answer a GET with these bytes."""

    def treat(found, connection):
        found.read_request(connection)
        connection.sendall(content)
        if then is not None:
            then(found, connection)

    return treat


def serves_by_path(contents):
    """A treatment: answer a GET with the bytes of its path, 404 where there are none."""

    def treat(found, connection):
        found.read_request(connection)
        path = found.requests[-1].split()[1].decode().partition("?")[0]
        connection.sendall(contents.get(path, status(404)))

    return treat
