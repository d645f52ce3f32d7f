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
from typing import IO, TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from act_one.media.probe import Scan
from act_one.media.stream import MediaFacts, MediaFileError, sniff
from act_one.net.downloads import Download, PeerError, UnsafeAddressError
from act_one.tasks.task import StoredMedia

if TYPE_CHECKING:
    from botocore.awsrequest import AWSRequest
    from mypy_boto3_s3 import S3Client

CHUNK_BYTES: Final = 262_144
_HEAD_BYTES: Final = 4_096
_BEFORE_SIGNING: Final = "before-sign.s3.PutObject"
_TRAILER: Final = "x-amz-checksum-sha256"

type Opener = Callable[[str, float, int], Download]
"""GETs a URL within so many seconds and bytes, its body still to be read (``downloads.get``)."""


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


# ── What is stored, and its name ──────────────────────────────────────────────────────────────

RESULT_VIDEO_TYPES: Final = {"video/mp4": "mp4", "video/quicktime": "mov", "video/webm": "webm"}
RESULT_IMAGE_TYPES: Final = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
}


# ── Fetching ──────────────────────────────────────────────────────────────────────────────────


class _Body:
    """A download as a file to read: hashed and checked on the way, whole or an error.

    What is wrong with it is raised before its last bytes are given away. botocore wraps what a
    body raises; ``failure`` keeps the original.
    """

    def __init__(self, download: Download) -> None:
        self._download = download
        self._digest = hashlib.sha256()
        self._scan = Scan(download.length)
        self.length = download.length
        self.facts: MediaFacts | None = None
        """Known once all of it was read."""
        self.failure: MediaError | None = None
        self._head = self._take(_HEAD_BYTES)
        self.media_type = sniff(self._head)

    @property
    def count(self) -> int:
        return self._download.count

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
        """Take that much, or what is left, from the peer."""
        try:
            taken = self._download.read(amount)
            self._digest.update(taken)
            self._scan.feed(memoryview(taken))
            if len(taken) < amount or self.count == self.length:
                self.facts = self._scan.finish()
        except (PeerError, MediaFileError) as error:
            self.failure = _media_error(error)
            raise self.failure from error
        return taken


def _media_error(error: PeerError | MediaFileError) -> MediaError:
    code = f"media_{error.code}" if isinstance(error, PeerError) else error.code
    return MediaError(code, str(error))


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
    try:
        download = open_url(url, seconds, max_bytes)
    except UnsafeAddressError as error:
        raise MediaError("media_address_refused", str(error)) from error
    except PeerError as error:
        raise _media_error(error) from error
    with download:
        if download.status != 200:
            raise MediaError("media_refused", f"its server answered HTTP {download.status}")
        body = _Body(download)
        if body.media_type is None or body.media_type not in types:
            raise MediaError("media_wrong_type", f"it is {body.media_type}")
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
    return _stored(place, key, body.count, body.sha256, media_type, body.facts)


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
    digest, count, scan = hashlib.sha256(), 0, Scan()
    try:
        for chunk in answer["Body"].iter_chunks(CHUNK_BYTES):
            digest.update(chunk)
            scan.feed(chunk)
            count += len(chunk)
        facts = scan.finish()
    except MediaFileError as error:
        message = f"another object is in its place in the bucket: {error}"
        raise MediaError("store_failed", message) from error
    return _stored(place, key, count, digest.digest(), answer["ContentType"], facts)


def _stored(
    place: Place, key: str, size: int, sha256: bytes, media_type: str, facts: MediaFacts | None
) -> StoredMedia:
    return StoredMedia(
        s3_uri=f"s3://{place.bucket}/{key}",
        size=size,
        sha256=sha256.hex(),
        content_type=media_type,
        duration_seconds=facts.duration_seconds if facts else None,
        width=facts.width if facts else None,
        height=facts.height if facts else None,
    )
