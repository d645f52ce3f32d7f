"""Copies one media file from the provider's URL into the results bucket, and checks it on the way.

A file of known length is streamed by one ``PutObject`` (atomic, a few MB of memory); a file of
unknown length is written to ``/tmp`` first. If the file is broken, the upload fails before its last
chunk, so that no object is created. Objects are never deleted or replaced: if the object exists
already, it is read and adopted.
"""

import base64
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from act_one.media.facts import MediaFacts, MediaFileError
from act_one.media.probe import Scan
from act_one.media.sniff import sniff
from act_one.net.downloads import Download, PeerError, UnsafeAddressError
from act_one.tasks.task import StoredMedia

if TYPE_CHECKING:
    from botocore.awsrequest import AWSRequest
    from mypy_boto3_s3 import S3Client

CHUNK_BYTES: Final = 262_144
_HEAD_BYTES: Final = 4_096
_BEFORE_SIGN_EVENT: Final = "before-sign.s3.PutObject"
_CHECKSUM_TRAILER: Final = "x-amz-checksum-sha256"
_MISSING: Final = frozenset({"NoSuchKey", "404", "AccessDenied", "403"})
"""S3's answers for a missing object; 403 if the caller may not list the bucket."""

type Opener = Callable[[str, float, int], Download]
"""Opens a URL: ``(url, seconds, max_bytes)``, the time limit including the body (``get``)."""


class MediaError(Exception):
    """A media file could not be copied.

    ``code`` is for programs; the message contains no URL query, because queries carry signatures.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where to store a file. ``key`` has no extension: the file's content determines it."""

    bucket: str
    key: str
    metadata: Mapping[str, str]
    """S3's user metadata of the object: ASCII."""


# ── Copying ───────────────────────────────────────────────────────────────────────────────────


class _CheckedDownload:
    """A readable file that hashes and checks a download while it is read.

    A fault is raised before the last bytes are returned. botocore wraps exceptions that a body
    raises; ``failure`` keeps the original.
    """

    def __init__(self, download: Download) -> None:
        self._download = download
        self._digest = hashlib.sha256()
        self._scan = Scan(download.length)
        self.length = download.length
        self.facts: MediaFacts | None = None
        """None until all of it was read."""
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
        """Read ``amount`` bytes; fewer only at the end, as S3 refuses other short chunks."""
        wanted = CHUNK_BYTES if amount < 0 else amount
        head, self._head = self._head[:wanted], self._head[wanted:]
        return head + self._take(wanted - len(head)) if len(head) < wanted else head

    def chunks(self) -> Iterator[bytes]:
        while chunk := self.read(CHUNK_BYTES):
            yield chunk

    def _take(self, amount: int) -> bytes:
        """Read ``amount`` bytes from the network, hash and check them; fewer only at the end."""
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
    destination: Destination,
    *,
    types: Mapping[str, str],
    max_bytes: int,
    seconds: float,
    open_url: Opener,
    s3: "S3Client",
    s3_once: "S3Client",
    adopt_first: bool = False,
) -> StoredMedia:
    """Copy one file into the bucket within ``seconds``; returns what was stored.

    ``types`` maps the accepted media types to their extensions. ``s3_once`` has one attempt for
    each call: a streamed body can't be sent again. ``adopt_first`` takes what an earlier attempt
    stored, without opening the URL, which may have expired. Raises ``MediaError`` if the file
    can't be fetched, is broken or has another type; no object is written then.
    """
    if adopt_first and (stored := _find_stored(destination, types, s3)) is not None:
        return stored
    try:
        download = open_url(url, seconds, max_bytes)
    except UnsafeAddressError as error:
        raise MediaError("media_address_refused", str(error)) from error
    except PeerError as error:
        raise _media_error(error) from error
    with download:
        if download.status != 200:
            raise MediaError("media_refused", f"its server answered HTTP {download.status}")
        body = _CheckedDownload(download)
        if body.media_type is None or body.media_type not in types:
            raise MediaError("media_wrong_type", f"it is {body.media_type}")
        key = f"{destination.key}.{types[body.media_type]}"
        return _put(body, key, body.media_type, destination, s3, s3_once)


def _find_stored(
    destination: Destination, types: Mapping[str, str], s3: "S3Client"
) -> StoredMedia | None:
    """Adopt the object that the bucket has for a file; None if it has none."""
    for extension in types.values():
        try:
            return _adopt(f"{destination.key}.{extension}", destination, s3)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code"))
            if code not in _MISSING:
                raise MediaError("store_failed", f"S3 answered {code}") from error
    return None


def _put(
    body: _CheckedDownload,
    key: str,
    media_type: str,
    destination: Destination,
    s3: "S3Client",
    s3_once: "S3Client",
) -> StoredMedia:
    try:
        if body.length is not None:
            answer = _put_object(body, body.length, key, media_type, destination, s3_once)
        else:
            with tempfile.TemporaryFile() as spool:
                for chunk in body.chunks():
                    spool.write(chunk)
                spool.seek(0)
                answer = _put_object(spool, body.count, key, media_type, destination, s3_once)
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code"))
        if code in {"PreconditionFailed", "412"}:
            return _adopt(key, destination, s3)
        raise MediaError("store_failed", f"S3 answered {code}") from error
    except MediaError:
        raise
    except Exception as error:
        if body.failure is not None:
            raise body.failure from error
        raise
    stored = answer.get("ChecksumSHA256")
    if stored is not None and base64.b64decode(stored) != body.sha256:
        raise MediaError(
            "store_failed", "the checksum that S3 returned differs from that of the data sent"
        )
    return _stored(destination, key, body.count, body.sha256, media_type, body.facts)


def _put_object(
    source: _CheckedDownload | IO[bytes],
    length: int,
    key: str,
    media_type: str,
    destination: Destination,
    s3: "S3Client",
) -> Mapping[str, Any]:
    secure = s3.meta.endpoint_url.startswith("https:")
    checksum: dict[str, Any] = {"ChecksumAlgorithm": "SHA256"} if secure else {}
    with _checksum_in_trailer(source, s3):
        return s3.put_object(
            Bucket=destination.bucket,
            Key=key,
            Body=source,  # type: ignore[arg-type]  # botocore reads anything that has read()
            ContentLength=length,
            ContentType=media_type,
            Metadata=destination.metadata,
            IfNoneMatch="*",
            **checksum,
        )


@contextmanager
def _checksum_in_trailer(source: _CheckedDownload | IO[bytes], s3: "S3Client") -> Iterator[None]:
    """Send the hash computed by ``source``: botocore would hash and copy every byte again."""

    def set_body(request: "AWSRequest", **_: object) -> None:
        if (
            isinstance(source, _CheckedDownload)
            and request.headers.get("X-Amz-Trailer") == _CHECKSUM_TRAILER
        ):
            request.data = _aws_chunked(source)

    s3.meta.events.register(_BEFORE_SIGN_EVENT, set_body)
    try:
        yield
    finally:
        s3.meta.events.unregister(_BEFORE_SIGN_EVENT, set_body)


def _aws_chunked(body: _CheckedDownload) -> Iterator[bytes]:
    """Encode a body as ``aws-chunked``, with its checksum as a trailer."""
    for chunk in body.chunks():
        yield b"%x\r\n%b\r\n" % (len(chunk), chunk)
    yield b"0\r\n%b:%b\r\n\r\n" % (_CHECKSUM_TRAILER.encode(), base64.b64encode(body.sha256))


def _adopt(key: str, destination: Destination, s3: "S3Client") -> StoredMedia:
    """Adopt the object of an earlier attempt, which is complete because puts are atomic."""
    answer = s3.get_object(Bucket=destination.bucket, Key=key)
    digest, count, scan = hashlib.sha256(), 0, Scan()
    try:
        for chunk in answer["Body"].iter_chunks(CHUNK_BYTES):
            digest.update(chunk)
            scan.feed(chunk)
            count += len(chunk)
        facts = scan.finish()
    except MediaFileError as error:
        message = f"the bucket has another object at this key: {error}"
        raise MediaError("store_failed", message) from error
    return _stored(destination, key, count, digest.digest(), answer["ContentType"], facts)


def _stored(
    destination: Destination,
    key: str,
    size: int,
    sha256: bytes,
    media_type: str,
    facts: MediaFacts | None,
) -> StoredMedia:
    return StoredMedia(
        s3_uri=f"s3://{destination.bucket}/{key}",
        size=size,
        sha256=sha256.hex(),
        content_type=media_type,
        duration_seconds=facts.duration_seconds if facts else None,
        width=facts.width if facts else None,
        height=facts.height if facts else None,
        c2pa=facts.c2pa if facts else None,
    )
