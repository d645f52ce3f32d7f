"""The uploads bucket: its files are listed, inspected, pinned to a version and presigned here.

A row refers to such a file as ``s3://bucket/key``. The provider gets a URL created at the moment of
sending, for the version that was inspected: replacing a file later doesn't affect a running task.
"""

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from botocore.exceptions import ClientError

from act_one.aws import LINK_SECONDS, s3_client
from act_one.inputs.limits import MAX_INPUT_URL_CHARACTERS
from act_one.media.sniff import SNIFF_BYTES, sniff
from act_one.problems import ProblemError
from act_one.tasks.task import PinnedFile, Task

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectRequestTypeDef, HeadObjectRequestTypeDef

    from act_one.inputs.request import TransferRequest

UPLOADS: Final = "uploads/"
"""Files uploaded over HTTP, and those that events name: ``uploads/<client>/…``."""
INCOMING: Final = "incoming/"
"""Files put here start tasks."""
OUTGOING: Final = "outgoing/"
"""Results of the folders in ``incoming/``, in folders of the same names."""
RESULT: Final = "result.json"
"""The file that says how a folder's task ended, in both of its folders."""
MAX_PAGES: Final = 20
"""Pages of a folder's listing that are read; each has 1,000 files and subfolders."""

_PAGE: Final = 1_000
_GONE: Final = frozenset({"NoSuchKey", "NoSuchVersion", "404", "PreconditionFailed", "412"})
_HIDDEN: Final = frozenset({"AccessDenied", "403"})
"""S3's answer for a missing file when the caller may not list the bucket."""
_A: Final = {"video": "a video", "image": "an image"}
_CHECKSUMS: Final = frozenset(
    f"Checksum{algorithm}" for algorithm in ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
)
_EMPTY: Final = frozenset({"InvalidRange", "416"})


class FileGoneError(Exception):
    """The file doesn't exist, or its content has changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedFile:
    """A file as S3 lists it: ``modified`` in epoch seconds, ``size`` in bytes."""

    etag: str
    modified: float
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """A file's version and type. ``media_type`` is None for a type that is not recognized."""

    version: str | None
    media_type: str | None
    etag: str | None = None
    """S3's ETag, quotes included: the same for the same bytes of an upload in one part, but not
    under a KMS key."""
    checksum: str | None = None
    """Of a file under a KMS key: its size and S3's checksum, if S3 has one."""
    empty: bool = False

    @property
    def what(self) -> str:
        """Say what the file is, in an error."""
        if self.empty:
            return "empty (0 bytes)"
        return self.media_type or "neither a video nor an image"

    @property
    def content(self) -> str | None:
        """What contents are compared by."""
        return self.checksum or self.etag

    @property
    def kind(self) -> str | None:
        """``video``, ``image`` or None."""
        kind = (self.media_type or "").partition("/")[0]
        return kind if kind in {"video", "image"} else None


class UploadsBucket:
    """The uploads bucket. Its client is created at its first use."""

    def __init__(self, bucket: str = "", base_url: str = "", s3: "S3Client | None" = None) -> None:
        self.bucket = bucket
        self._base_url = base_url.rstrip("/")
        self._s3 = s3

    def client(self) -> "S3Client":
        """Return the bucket's client."""
        if self._s3 is None:
            self._s3 = s3_client()
        return self._s3

    def uri(self, key: str) -> str:
        """Return the ``s3://`` URI of a file or folder."""
        return f"s3://{self.bucket}/{key}"

    def files_of(self, client_id: str) -> str:
        """Return the ``s3://`` URI of the folder whose files a client may use."""
        return self.uri(f"{UPLOADS}{client_id}/")

    def has(self, request: "TransferRequest") -> bool:
        """Return whether an input of the request is in the bucket."""
        return any(uri.startswith("s3://") for uri in (request.video, request.image))

    def pin_versions(self, request: "TransferRequest") -> "TransferRequest":
        """Pin the request's inputs in the bucket to their current versions.

        Raises ``ProblemError`` 422 for a file that is missing or of the wrong type, and for one
        whose URL would be too long for the provider.
        """
        files = {"video": request.video_file, "image": request.image_file}
        etags = dict(request.etags)
        for name, uri in (("video", request.video), ("image", request.image)):
            if files[name] is None and uri.startswith("s3://"):
                files[name], etag = self._pin(name, uri)
                if etag is not None:
                    etags[name] = etag
        pinned = replace(request, video_file=files["video"], image_file=files["image"], etags=etags)
        for name, url in zip(("video", "image"), self.urls(pinned), strict=True):
            if len(url) > MAX_INPUT_URL_CHARACTERS:
                raise ProblemError(
                    422,
                    "input-url-too-long",
                    f"The URL of {name} is too long",
                    f"the {name}'s signed URL has {len(url):,} characters, the provider accepts "
                    f"{MAX_INPUT_URL_CHARACTERS:,}; give the file a shorter name, or set "
                    "InputBaseUrl",
                    field=name,
                )
        return pinned

    def presign(self, request: "TransferRequest") -> "TransferRequest":
        """Replace ``s3://`` URIs by URLs that are valid for an hour."""
        video, image = self.urls(request)
        return replace(request, video=video, image=image)

    def urls(self, source: "Task | TransferRequest") -> tuple[str, str]:
        """Return new URLs of the video and the image for the provider."""
        return (
            self._url(source.video, source.video_file),
            self._url(source.image, source.image_file),
        )

    def list_files(self, folder: str) -> dict[str, ListedFile]:
        """List a folder's files by their names in it. ``folder`` ends with ``/``.

        Raises ``ProblemError`` 422 for a folder with more files and subfolders than are read.
        """
        files: dict[str, ListedFile] = {}
        pages = self.client().get_paginator("list_objects_v2")
        listed = pages.paginate(Bucket=self.bucket, Prefix=folder, Delimiter="/")
        for page in islice(listed, MAX_PAGES):
            for found in page.get("Contents", ()):
                files[found["Key"].removeprefix(folder)] = ListedFile(
                    etag=found["ETag"].strip('"'),
                    modified=found["LastModified"].timestamp(),
                    size=found["Size"],
                )
            if not page.get("IsTruncated"):
                return files
        raise ProblemError(
            422,
            "upload-ambiguous",
            "The folder has too many entries",
            f"{folder} has more than {MAX_PAGES * 1_000:,} files and folders; put one video and "
            "one image into a folder of their own",
        )

    def check_pinned(self, request: "TransferRequest") -> None:
        """Check that the pinned versions of a request's inputs exist.

        Raises ``ProblemError`` 422.
        """
        inputs = (
            ("video", request.video, request.video_file),
            ("image", request.image, request.image_file),
        )
        for name, uri, pinned in inputs:
            if pinned is not None:
                try:
                    self.inspect(uri.removeprefix(self.uri("")), version=pinned.version)
                except FileGoneError as error:
                    raise _not_there(name, uri) from error

    def inspect(self, key: str, etag: str | None = None, version: str | None = None) -> FoundFile:
        """Find a file's type from its first bytes, of the current version if none is given.

        Raises ``FileGoneError`` when it is missing or its content has another ``etag``.
        """
        asked: GetObjectRequestTypeDef = {
            "Bucket": self.bucket,
            "Key": key,
            "Range": f"bytes=0-{SNIFF_BYTES - 1}",
        }
        if etag is not None:
            asked["IfMatch"] = etag
        if version is not None:
            asked["VersionId"] = version
        try:
            answer = self.client().get_object(**asked)
            found, under_key = answer.get("VersionId"), answer.get("SSEKMSKeyId") is not None
            return FoundFile(
                version=found,
                media_type=sniff(answer["Body"].read()),
                etag=answer.get("ETag"),
                checksum=self._checksum(key, found) if under_key else None,
            )
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code"))
            if code in _EMPTY:
                return FoundFile(version=None, media_type=None, empty=True)
            if code in _GONE or (code in _HIDDEN and etag is None):
                raise FileGoneError(key) from error
            raise

    def _checksum(self, key: str, version: str | None) -> str | None:
        """Return the size and checksum of a version, None if S3 has no checksum.

        Under a KMS key, the same bytes get another ETag with each upload. S3 sends no checksum with
        a part of a file.
        """
        asked: HeadObjectRequestTypeDef = {
            "Bucket": self.bucket,
            "Key": key,
            "ChecksumMode": "ENABLED",
        }
        if version is not None:
            asked["VersionId"] = version
        head = self.client().head_object(**asked)
        sums = {name: value for name, value in head.items() if name in _CHECKSUMS}
        if not sums:
            return None
        algorithm, checksum = min(sums.items())
        return f"{head['ContentLength']}:{algorithm.removeprefix('Checksum')}:{checksum}"

    def read(self, key: str) -> bytes:
        """Read a small file. Raises ``FileGoneError`` when it is missing."""
        try:
            return self.client().get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except self.client().exceptions.NoSuchKey as error:
            raise FileGoneError(key) from error

    def holds(self, key: str, listed: ListedFile | None, body: bytes) -> bool:
        """Return whether a file that was listed, None if it wasn't, has these bytes."""
        if listed is None or listed.size != len(body):
            return False
        try:
            return self.read(key) == body
        except FileGoneError:
            return False

    def write_json(self, key: str, body: bytes) -> None:
        """Write a JSON file."""
        self.client().put_object(
            Bucket=self.bucket, Key=key, Body=body, ContentType="application/json"
        )

    def copy_result(self, s3_uri: str, key: str) -> None:
        """Copy an object of the results bucket. Raises ``FileGoneError`` when it is missing."""
        bucket, _, source = s3_uri.removeprefix("s3://").partition("/")
        try:
            self.client().copy_object(
                Bucket=self.bucket, Key=key, CopySource={"Bucket": bucket, "Key": source}
            )
        except ClientError as error:
            if str(error.response.get("Error", {}).get("Code")) in _GONE | _HIDDEN:
                raise FileGoneError(s3_uri) from error
            raise

    def delete(self, key: str) -> None:
        """Delete a file."""
        self.client().delete_object(Bucket=self.bucket, Key=key)

    def _pin(self, name: str, uri: str) -> tuple[PinnedFile, str | None]:
        """Return an input's current version and its content's. Raises ``ProblemError`` 422."""
        try:
            found = self.inspect(uri.removeprefix(self.uri("")))
        except FileGoneError as error:
            raise _not_there(name, uri) from error
        if found.kind != name or found.media_type is None:
            raise ProblemError(
                422,
                "input-wrong-type",
                f"The file is not {_A[name]}",
                f"{uri} is {found.what}; upload the {name} there",
                field=name,
            )
        pinned = PinnedFile(version=found.version, media_type=found.media_type, etag=found.content)
        return pinned, found.content

    def _url(self, uri: str, pinned: PinnedFile | None) -> str:
        if pinned is None:
            return uri
        key = uri.removeprefix(self.uri(""))
        if self._base_url:
            version = f"?versionId={quote(pinned.version, safe='')}" if pinned.version else ""
            return f"{self._base_url}/{quote(key)}{version}"
        wanted = {"Bucket": self.bucket, "Key": key, "ResponseContentType": pinned.media_type}
        if pinned.version is not None:
            wanted["VersionId"] = pinned.version
        return self.client().generate_presigned_url(
            "get_object", Params=wanted, ExpiresIn=LINK_SECONDS
        )


def _not_there(name: str, uri: str) -> ProblemError:
    return ProblemError(
        422,
        "input-not-there",
        f"The {name} does not exist",
        f"{uri} does not exist; upload it, and submit while the stack still keeps it",
        field=name,
    )
