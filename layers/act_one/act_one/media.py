"""One media file: from the provider's URL into the results bucket, counted, hashed and checked.

A known length is streamed by one ``PutObject`` (atomic, a few MB of memory); an unknown one goes
through ``/tmp``. A broken body fails before its last chunk is handed over, so no object appears.
Nothing here ever deletes or replaces an object: one that is there already is read and adopted.
"""

import base64
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import IO, TYPE_CHECKING, Any, Final, NoReturn

import boto3
import requests
from botocore.config import Config
from botocore.exceptions import ClientError
from urllib3.exceptions import HTTPError

from act_one import safe_http
from act_one.task import StoredMedia

if TYPE_CHECKING:
    from botocore.awsrequest import AWSRequest
    from mypy_boto3_s3 import S3Client

CHUNK_BYTES: Final = 262_144
_HEAD_BYTES: Final = 4_096
_BEFORE_SIGNING: Final = "before-sign.s3.PutObject"
_TRAILER: Final = "x-amz-checksum-sha256"

type Opener = Callable[[str], requests.Response]
"""GETs a URL with its body still to be read (``safe_http.get`` with its policy and session)."""


class MediaError(Exception):
    """A media file can't be had now; ``code`` is a machine word, the message holds no query."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an object goes: ``key`` without its extension, which the content decides."""

    bucket: str
    key: str
    task_id: str


def s3_client() -> "S3Client":
    """Build a client that streams a body of known length in one request, sent once.

    Over https botocore signs and checks such a body by a trailer, and links must name the bucket's
    own host: the global one redirects. A plain-http endpoint takes no trailer and has no such
    hosts, so there the body goes unsigned and the bucket is named in the path.
    """
    client = boto3.client("s3", config=_SENT_ONCE.merge(_NAMED_BY_HOST))
    if client.meta.endpoint_url.startswith("https:"):
        return client
    return boto3.client("s3", config=_SENT_ONCE.merge(_PLAIN_HTTP))


_SENT_ONCE: Final = Config(
    connect_timeout=3.0,
    read_timeout=60.0,
    retries={"mode": "standard", "total_max_attempts": 1},
    signature_version="s3v4",
)
_NAMED_BY_HOST: Final = Config(s3={"addressing_style": "virtual"})
_PLAIN_HTTP: Final = Config(
    s3={"payload_signing_enabled": False}, request_checksum_calculation="when_required"
)


# ── What the first bytes say ──────────────────────────────────────────────────────────────────

VIDEO_TYPES: Final = {"video/mp4": "mp4", "video/quicktime": "mov", "video/webm": "webm"}
IMAGE_TYPES: Final = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
}


def sniff(head: bytes) -> str | None:
    """Name the media type of a file by its first bytes, whatever its sender called it."""
    if head[4:8] == b"ftyp":
        return "video/quicktime" if head[8:12] == b"qt  " else "video/mp4"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "video/webm"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return None


# ── Fetching ──────────────────────────────────────────────────────────────────────────────────


class _Body:
    """A response's body as a file to read: counted, hashed, capped, and whole or an error.

    botocore wraps what a body raises; ``failure`` keeps the original.
    """

    def __init__(self, response: requests.Response, *, max_bytes: int, ends_at: float) -> None:
        self._response = response
        self._max_bytes = max_bytes
        self._ends_at = ends_at
        self._digest = hashlib.sha256()
        self.length = _content_length(response)
        self.count = 0
        self.failure: MediaError | None = None
        if self.length is not None and self.length > max_bytes:
            self._fail("media_too_large", f"it announces {self.length:,} bytes")
        self._head = self._take(_HEAD_BYTES)
        self.media_type = sniff(self._head)

    @property
    def sha256(self) -> bytes:
        return self._digest.digest()

    def read(self, amount: int = -1) -> bytes:
        """Read that much, or what is left: of the chunks sent to S3 only the last may be short."""
        wanted = CHUNK_BYTES if amount < 0 else amount
        head, self._head = self._head[:wanted], self._head[wanted:]
        return head + self._take(wanted - len(head)) if len(head) < wanted else head

    def chunks(self) -> Iterator[bytes]:
        while chunk := self.read(CHUNK_BYTES):
            yield chunk

    def _take(self, amount: int) -> bytes:
        """Read that much, or what is left. In steps: a single read outlasts any dribble."""
        taken = bytearray()
        while len(taken) < amount:
            if monotonic() > self._ends_at:
                self._fail("media_too_slow", f"{self.count:,} bytes came in the time there was")
            try:
                piece: bytes = self._response.raw.read1(amount - len(taken))
            except (HTTPError, OSError) as error:
                self._fail("media_cut_off", f"{type(error).__name__} after {self.count:,} bytes")
            if not piece:
                break
            taken += piece
            self.count += len(piece)
        self._digest.update(taken)
        if self.count > self._max_bytes:
            self._fail("media_too_large", f"it has more than {self._max_bytes:,} bytes")
        if not taken and self.length is not None and self.count != self.length:
            self._fail("media_cut_off", f"{self.count:,} of {self.length:,} bytes came")
        return bytes(taken)

    def _fail(self, code: str, message: str) -> NoReturn:
        self.failure = MediaError(code, message)
        raise self.failure


def _content_length(response: requests.Response) -> int | None:
    text = response.headers.get("content-length", "")
    encoded = response.headers.get("transfer-encoding") or response.headers.get("content-encoding")
    return int(text) if text.isascii() and text.isdigit() and not encoded else None


def copy(
    url: str,
    place: Place,
    *,
    types: Mapping[str, str],
    max_bytes: int,
    seconds: float,
    open_url: Opener,
    s3: "S3Client",
) -> StoredMedia:
    """Copy one file into the bucket, within ``seconds``, and say what was stored.

    ``types`` are the media types wanted, with their extensions. Raises ``MediaError`` when the
    file can't be fetched, is broken or is something else; then no object was written.
    """
    ends_at = monotonic() + seconds
    try:
        response = open_url(url)
    except safe_http.UnsafeAddressError as error:
        raise MediaError("media_address_refused", str(error)) from error
    except requests.RequestException as error:
        raise MediaError("media_unreachable", type(error).__name__) from None
    with response:
        if response.status_code != 200:
            raise MediaError("media_refused", f"its server answered HTTP {response.status_code}")
        body = _Body(response, max_bytes=max_bytes, ends_at=ends_at)
        if body.media_type is None or body.media_type not in types:
            found = body.media_type or response.headers.get("content-type", "unknown")[:80]
            raise MediaError("media_wrong_type", f"it is {found}")
        key = f"{place.key}.{types[body.media_type]}"
        return _put(body, key, body.media_type, place, s3)


def _put(body: _Body, key: str, media_type: str, place: Place, s3: "S3Client") -> StoredMedia:
    try:
        if body.length is not None:
            answer = _put_object(body, body.length, key, media_type, place, s3)
        else:
            with tempfile.TemporaryFile() as spool:
                for chunk in body.chunks():
                    spool.write(chunk)
                spool.seek(0)
                answer = _put_object(spool, body.count, key, media_type, place, s3)
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code"))
        if code in {"PreconditionFailed", "412"}:
            return _adopt(key, place, s3)
        raise MediaError("store_failed", f"S3 answered {code}") from error
    except MediaError:
        raise
    except Exception as error:
        if body.failure is not None:
            raise body.failure from error
        raise
    stored = answer.get("ChecksumSHA256")
    if stored is not None and base64.b64decode(stored) != body.sha256:
        raise MediaError("store_failed", "S3 holds other bytes than those that were sent")
    return StoredMedia(
        s3_uri=f"s3://{place.bucket}/{key}",
        size=body.count,
        sha256=body.sha256.hex(),
        content_type=media_type,
    )


def _put_object(
    source: _Body | IO[bytes],
    length: int,
    key: str,
    media_type: str,
    place: Place,
    s3: "S3Client",
) -> Mapping[str, Any]:
    secure = s3.meta.endpoint_url.startswith("https:")
    checksum: dict[str, Any] = {"ChecksumAlgorithm": "SHA256"} if secure else {}
    with _hashed_once(source, s3):
        return s3.put_object(
            Bucket=place.bucket,
            Key=key,
            Body=source,  # type: ignore[arg-type]  # botocore reads anything that has read()
            ContentLength=length,
            ContentType=media_type,
            Metadata={"task-id": place.task_id},
            IfNoneMatch="*",
            **checksum,
        )


@contextmanager
def _hashed_once(source: _Body | IO[bytes], s3: "S3Client") -> Iterator[None]:
    """Send a body's own hash behind it: botocore would hash and copy every byte once more."""

    def with_trailer(request: "AWSRequest", **_: object) -> None:
        if isinstance(source, _Body) and request.headers.get("X-Amz-Trailer") == _TRAILER:
            request.data = _in_s3_chunks(source)

    s3.meta.events.register(_BEFORE_SIGNING, with_trailer)
    try:
        yield
    finally:
        s3.meta.events.unregister(_BEFORE_SIGNING, with_trailer)


def _in_s3_chunks(body: _Body) -> Iterator[bytes]:
    """Frame a body the way S3 takes one whose checksum is in a trailer."""
    for chunk in body.chunks():
        yield b"%x\r\n%b\r\n" % (len(chunk), chunk)
    yield b"0\r\n%b:%b\r\n\r\n" % (_TRAILER.encode(), base64.b64encode(body.sha256))


def _adopt(key: str, place: Place, s3: "S3Client") -> StoredMedia:
    """Take over the object that an earlier attempt finished: puts are atomic, so it is whole."""
    answer = s3.get_object(Bucket=place.bucket, Key=key)
    digest, count = hashlib.sha256(), 0
    for chunk in answer["Body"].iter_chunks(CHUNK_BYTES):
        digest.update(chunk)
        count += len(chunk)
    return StoredMedia(
        s3_uri=f"s3://{place.bucket}/{key}",
        size=count,
        sha256=digest.hexdigest(),
        content_type=answer["ContentType"],
    )
