"""Media, and replies with media as the provider's content network sends them."""

from tools.media_files.small import small_mp4, small_png

MP4 = small_mp4(300_000)
PNG = small_png(12_000)
HTML = b"<html><body>This link has expired.</body></html>"

OK = b"HTTP/1.1 200 OK\r\n"


def with_length(content, length=None, headers=b""):
    declared = len(content) if length is None else length
    return OK + headers + b"Content-Length: %d\r\n\r\n" % declared + content


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

    def treat(server, connection):
        server.read_request(connection)
        connection.sendall(content)
        if then is not None:
            then(server, connection)

    return treat


def serves_by_path(contents):
    """A treatment: answer a GET with the bytes of its path, or with 404."""

    def treat(server, connection):
        server.read_request(connection)
        path = server.requests[-1].split()[1].decode().partition("?")[0]
        connection.sendall(contents.get(path, status(404)))

    return treat
