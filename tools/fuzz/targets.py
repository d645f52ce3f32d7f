"""What is fuzzed: functions that read strangers' bytes, with samples and declared errors.

A target takes one input. It may raise the errors that it declares; any other exception is a fault,
as is a result that no row, event or reply can hold.
"""

import json
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass, is_dataclass, replace
from http.client import HTTPException
from pathlib import Path
from time import monotonic

from act_one.inputs.request import read_request
from act_one.keys import Keys
from act_one.media.c2pa import BOX_UUID
from act_one.media.facts import MediaFileError
from act_one.media.probe import Scan, probe
from act_one.net.exchange import Reply, retry_after
from act_one.net.response import Response, Source, TooSlowError
from act_one.net.urls import UnsafeAddressError, parse_url, redirect_url
from act_one.problems import ProblemError
from act_one.provider.callback_token import UnknownTokenError, callback_url, verify
from act_one.provider.outcomes import Created, Report
from act_one.provider.replies import (
    read_callback,
    read_create_reply,
    read_feed_reply,
    scrub,
    write_success,
)
from act_one.tasks.attributes import attribute
from tools.media_files import c2pa
from tools.media_files.small import small_mp4, small_png
from tools.media_files.sources import Sources

ROOT = Path(__file__).parents[2]
MEDIA = (
    *("h264.mp4", "faststart.mp4", "fragments.mp4", "segments.mp4", "h264.mov", "turned 90.mp4"),
    *("wide pixels.mp4", "vp9.webm", "live.webm", "vp8.webm"),
    *("picture.png", "picture.jpg", "lossy.webp", "animated.gif"),
)
NOW = 1_795_348_770.0


@dataclass(frozen=True)
class Target:
    """Runs ``take`` on mutated ``samples``; it may raise ``declared``."""

    take: Callable[[bytes], object]
    samples: list[bytes]
    words: list[bytes]
    declared: tuple[type[Exception], ...] = ()


JSON_WORDS = [
    *(b"null", b"true", b"0", b"-0", b"1e999", b"-1e400", b"NaN", b"1" * 400, b"9007199254740993"),
    *(b"0.1e-320", b'""', b'"\\ud800"', b'"\\u0000"', b"{}", b"[]", b"[" * 3_000, b'{"a":' * 3_000),
    *(b'"https://a.example/v.mp4?x=1"', b'"//a.example/v"', b'"http://[::1/"', b'"2026-13-45T99"'),
    *(b'"0001-01-01T00:00:00Z"', b'"9999-12-31T23:59:59-23:59"', b"253402300800", b"-62135596801"),
    *(b'"id"', b'"task_id"', b'"data"', b'"status"', b'"SUCCESS"', b'"failed"', b'"error"'),
    *(b'"url"', b'"output"', b'"result"', b'"progress"', b'"101%"', b"\xef\xbb\xbf", b"\xff\xfe"),
]
MEDIA_WORDS = [
    *b"ftyp moov mvhd trak tkhd mdia mdhd hdlr minf stbl stsd stsz stco co64 stsc sidx".split(),
    *b"moof mdat mvex mehd pasp vide IHDR IDAT IEND RIFF WEBP VP8X GIF89a".split(),
    *(b"uuid", b"caBX", b"C2PA", b"jumb", b"jumd", b"manifest\0", BOX_UUID),
    *map(bytes.fromhex, ("1a45dfa3", "18538067", "1549a966", "1654ae6b", "1f43b675", "4489")),
    *(b"\xff" * 2_000, b"\xff\xd8", b"\xff\xd9", b"\xff\xe1\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08"),
    *(b"\0\0\0\0", b"\0\0\0\1", b"\x7f\xff\xff\xff\xff\xff\xff\xff", b"\x7f\xef" + b"\xff" * 6),
]
URL_WORDS = [
    *(b"https://", b"//", b"@", b":", b":99999", b"[::1]", b"[fe80::1%25eth0]", b"127.1", b"0x7f"),
    *(
        b"\\",
        b"%00",
        b"%2e%2e/",
        b"?",
        b"#",
        b"\xc3\xa4",
        b"xn--",
        b".",
        b"\xf0\x9f\x8e\xad",
        b"\0",
    ),
]
HTTP_WORDS = [
    *(
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\0",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 103 x\r\n\r\n",
    ),
    *(
        b"Content-Length: -1\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"-1\r\n",
        b"ffffffff\r\n",
    ),
    *(b"Transfer-Encoding: chunked\r\n", b"transfer-encoding: x\r\n", b"0\r\n\r\n", b"5;a=b\r\n"),
    *(
        b" ",
        b"\t",
        b"HTTP/0.9",
        b"HTTP/1.0",
        b"HTTP/9.9 ",
        b" 204 ",
        b" 999 ",
        b" -1 ",
        b"X: " + b"y" * 9_000,
    ),
    *(b"Location: https://a.example/\r\n", b"Content-Encoding: gzip\r\n", b"a: b\r\n" * 150),
]
DATE_WORDS = [
    b"GMT",
    b"-2400",
    b"+9999",
    b"9" * 30,
    b"1e9",
    b"-1",
    b"Feb",
    b"30",
    b"99999",
    b":60",
    b"\xd9\xa3",
]


def targets(folder):
    """Build all targets by name; ``folder`` is for the media files that ffmpeg makes."""
    forms = [json.loads(path.read_text()) for path in sorted(_FORMS.glob("*.json"))]
    bodies = [
        form["text"].encode() if "text" in form else json.dumps(form["body"]).encode()
        for form in forms
    ]
    headers = [form.get("headers", {}).get("retry-after") for form in forms]
    media = [
        *_media(folder),
        *(small_mp4(), small_mp4(index_last=True), small_png()),
        *_signed(folder),
    ]
    return {
        "scan": Target(_scan, media, MEDIA_WORDS, (MediaFileError,)),
        "probe": Target(_probe, media, MEDIA_WORDS, (MediaFileError,)),
        "create reply": Target(_create_reply, bodies, JSON_WORDS),
        "feed reply": Target(_feed_reply, bodies, JSON_WORDS),
        "callback": Target(_callback, bodies, JSON_WORDS),
        "callback path": Target(_callback_path, _PATHS, URL_WORDS, (UnknownTokenError,)),
        "request": Target(_request, _requests(), JSON_WORDS + URL_WORDS, (ProblemError,)),
        "url": Target(_url, _URLS, URL_WORDS, (UnsafeAddressError,)),
        "http response": Target(
            _response, _responses(bodies), HTTP_WORDS, (OSError, HTTPException, TooSlowError)
        ),
        "retry-after": Target(
            _retry_after, [*filter(None, map(_encoded, headers)), *_DATES], DATE_WORDS
        ),
    }


# ── Samples ───────────────────────────────────────────────────────────────────────────────────

_FORMS = ROOT / "tests/unit/provider/forms"
_KEYS = Keys("callback-key", "previous-callback-key")
_PATHS = [callback_url("https://c.example/base/", f"task_{1:032x}", _KEYS)[17:].encode()]
_URLS = [
    b"https://media.example:8443/a/b.mp4?X-Amz-Signature=0a&b=c;d#e",
    b"http://127.0.0.1:9000/inputs/performance.mp4",
    b"https://[2606:2800:220:1::1]:443/%41%zz",
    b"../other/b.mp4?x=1",
]
_DATES = [b"120", b"Sun, 22 Nov 2026 12:00:00 GMT", b"Sunday, 22-Nov-26 12:00:00 GMT"]


def _encoded(text):
    return text.encode() if text else None


def _media(folder):
    sources = Sources(folder)
    return [sources(name) for name in MEDIA]


def _signed(folder):
    """Files with C2PA manifests."""
    sources = Sources(folder)
    return [
        c2pa.after_ftyp(sources("faststart.mp4"), c2pa.manifest_box()),
        c2pa.with_chunk(sources("picture.png"), c2pa.store()),
        c2pa.with_segments(sources("picture.jpg"), c2pa.store(), size=100),
        c2pa.with_riff_chunk(sources("clear.webp"), c2pa.store()),
    ]


def _requests():
    urls = {"video": "https://media.example/a.mp4", "image": "https://media.example/b.png"}
    own = "s3://bucket/uploads/client/"
    hook = {"url": "https://user.example/hook", "events": ["task.succeeded"]}
    asked = (
        urls | {"metadata": {"order": "42", "list": [1, 2.5, {"a": None}]}, "preflight": "off"},
        urls | {"webhook": hook, "consent": "release-114"},
        urls | {"callback_url": "https://user.example/hook?token=1"},
        {"upload_id": "0123456789abcdef"},
        {"video": f"{own}a/ü.mp4", "image": f"{own}b"},
    )
    return [json.dumps(one).encode() for one in asked]


def _responses(bodies):
    found = []
    for body in bodies[:12]:
        found += [
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body),
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x;a\r\n%b\r\n0\r\nT: u\r\n\r\n"
            % (len(body), body),
        ]
    return [
        *found,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 206 Some\r\nContent-Range: bytes 0-1/2\r\n\r\nab",
        b"HTTP/1.0 302 Found\r\nLocation: https://b.example/\r\nSet-Cookie: a=b\r\n\r\n",
    ]


# ── Targets ───────────────────────────────────────────────────────────────────────────────────


def _holdable(value):
    """Write a value as a row and as JSON, which any result must allow."""
    plain = asdict(value) if is_dataclass(value) else value
    json.dumps(plain, ensure_ascii=False, allow_nan=False, default=str).encode()
    attribute(plain)


def _scan(data):
    size = len(data) if data[-1:] < b"\x80" else None
    scan, step = Scan(size), 1 + len(data) // (1 + sum(data[-8:]) % 40)
    for start in range(0, len(data), step):
        scan.feed(data[start : start + step])
    _holdable(scan.finish())


def _probe(data):
    size = len(data) if data[-1:] < b"\x80" else None
    _holdable(probe(lambda offset, length: data[offset : offset + length], size))


def _reply(data):
    status = (200, 200, 202, 400, 401, 403, 429, 500)[sum(data[-4:]) % 8]
    return Reply(status=status, headers={"retry-after": data[:20].decode("latin-1")}, body=data)


def _create_reply(data):
    outcome = read_create_reply(_reply(data), now=NOW, secrets=["provider-key"])
    _holdable(outcome)
    if isinstance(outcome, Created):
        assert len(outcome.provider_task_id.encode()) <= 1_024


def _feed_reply(data):
    answer = read_feed_reply(_reply(data))
    _holdable(_stored(answer) if isinstance(answer, Report) else answer)


def _stored(report):
    """Return what rows keep of a report; its time is only compared."""
    return replace(report, created_at=None)


def _callback(data):
    report = read_callback(data)
    if report is not None:
        _holdable(_stored(report))
        if report.media:
            again = read_callback(write_success(report).encode())
            assert again is not None
            assert again.media == report.media
    scrub(data.decode("utf-8", "replace"), ["provider-key"])


class _KeyRing:
    def keys(self):
        return _KEYS

    reload = keys


def _callback_path(data):
    path = data.decode("utf-8", "replace")
    assert verify(path, _KeyRing()) in path


def _request(data):
    request = read_request(
        data,
        data[-20:].decode("latin-1"),
        allow_addresses=False,
        own_files="s3://bucket/uploads/client/",
    )
    assert len(request.fingerprint()) == 64
    _holdable({"video": request.video, "image": request.image, "metadata": request.metadata})


def _url(data):
    text = data.decode("utf-8", "replace")
    redirect_url("https://media.example/a/b", data.decode("latin-1"))
    url = parse_url(text)
    assert parse_url(str(url)) == url
    assert str(url).isascii()


def _response(data):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(1)
        theirs.sendall(data[:65_536])  # as much as a socket holds
        theirs.shutdown(socket.SHUT_WR)
        source = Source(ours, ends_at=monotonic() + 2, max_overhead_bytes=65_536)
        with Response(source, "GET") as response:
            response.begin()
            response.tell()
            body = response.read(100)
            while piece := response.read1(65_536):
                body += piece
            assert len(body) <= len(data)


def _retry_after(data):
    seconds = retry_after(data.decode("latin-1"), NOW, longest=3_600.0)
    assert seconds is None or 0 <= seconds <= 3_600
