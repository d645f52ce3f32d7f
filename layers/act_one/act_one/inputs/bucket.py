"""Inputs that lie in the uploads bucket: looked at, held to one version, opened for the provider.

A row names such a file by its ``s3://bucket/key``. The provider gets a URL of it that is made at
the moment of sending, for the version that was looked at: whoever replaces a file later changes
nothing about a task that is under way.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from botocore.exceptions import ClientError

from act_one.aws import LINK_SECONDS, s3_client
from act_one.inputs.request import MAX_INPUT_URL_CHARACTERS, TransferRequest
from act_one.media.sniff import SNIFF_BYTES, sniff
from act_one.problems import ProblemError
from act_one.tasks.task import PinnedFile, Task

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectRequestTypeDef

UPLOADS: Final = "uploads/"
"""Files uploaded over HTTP, and those that events name: ``uploads/<client>/…``."""
INCOMING: Final = "incoming/"
"""Files that are dropped here start tasks by themselves."""

_GONE: Final = frozenset({"NoSuchKey", "NoSuchVersion", "404", "PreconditionFailed", "412"})
_HIDDEN: Final = frozenset({"AccessDenied", "403"})
"""S3's answer for a missing file to whom may not list the bucket."""
_EMPTY: Final = frozenset({"InvalidRange", "416"})


class FileGoneError(Exception):
    """The file isn't there, or is another one by now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """A file as its first bytes tell it. ``media_type`` is None for what is no video or image."""

    version: str | None
    media_type: str | None

    @property
    def kind(self) -> str | None:
        """``video``, ``image`` or None."""
        kind = (self.media_type or "").partition("/")[0]
        return kind if kind in {"video", "image"} else None


class UploadsBucket:
    """The uploads bucket, read only. The client is built when a file of it is first asked for."""

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
        """Name a file or folder of the bucket."""
        return f"s3://{self.bucket}/{key}"

    def files_of(self, client_id: str) -> str:
        """Name the folder whose files a client may use."""
        return self.uri(f"{UPLOADS}{client_id}/")

    def has(self, request: TransferRequest) -> bool:
        """Tell whether an input of a request lies in the bucket."""
        return any(uri.startswith("s3://") for uri in (request.video, request.image))

    def pin_versions(self, request: TransferRequest) -> TransferRequest:
        """Hold a request's inputs of the bucket to the versions that are there now.

        Raises ``ProblemError`` 422 for a file that isn't there or is of the other kind, and for one
        whose URL would be too long for the provider.
        """
        held = replace(
            request,
            video_file=request.video_file or self._pin("video", request.video),
            image_file=request.image_file or self._pin("image", request.image),
        )
        for name, url in zip(("video", "image"), self.urls(held), strict=True):
            if len(url) > MAX_INPUT_URL_CHARACTERS:
                raise ProblemError(
                    422,
                    "input-url-too-long",
                    f"{name} has too long a URL",
                    f"the {name}'s signed URL has {len(url):,} characters and the provider takes "
                    f"{MAX_INPUT_URL_CHARACTERS:,}; give the file a shorter name, or set "
                    "InputBaseUrl",
                    field=name,
                )
        return held

    def presign(self, request: TransferRequest) -> TransferRequest:
        """Put URLs that open for an hour in the place of ``s3://`` URIs."""
        video, image = self.urls(request)
        return replace(request, video=video, image=image)

    def urls(self, source: Task | TransferRequest) -> tuple[str, str]:
        """Write the two URLs that the provider gets, made now."""
        return (
            self._url(source.video, source.video_file),
            self._url(source.image, source.image_file),
        )

    def inspect(self, key: str, etag: str | None = None) -> FoundFile:
        """Read a file's first bytes, of the content that ``etag`` names.

        Raises ``FileGoneError`` when there is no such file.
        """
        asked: GetObjectRequestTypeDef = {
            "Bucket": self.bucket,
            "Key": key,
            "Range": f"bytes=0-{SNIFF_BYTES - 1}",
        }
        if etag is not None:
            asked["IfMatch"] = etag
        try:
            answer = self.client().get_object(**asked)
            return FoundFile(
                version=answer.get("VersionId"), media_type=sniff(answer["Body"].read())
            )
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code"))
            if code in _EMPTY:
                return FoundFile(version=None, media_type=None)
            if code in _GONE or (code in _HIDDEN and etag is None):
                raise FileGoneError(key) from error
            raise

    def read(self, key: str) -> bytes:
        """Read a small file whole. Raises ``FileGoneError`` when there is no such file."""
        try:
            return self.client().get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except self.client().exceptions.NoSuchKey as error:
            raise FileGoneError(key) from error

    def _pin(self, name: str, uri: str) -> PinnedFile | None:
        if not uri.startswith("s3://"):
            return None
        try:
            found = self.inspect(uri.removeprefix(self.uri("")))
        except FileGoneError as error:
            raise ProblemError(
                422,
                "input-not-there",
                f"The {name} is not there",
                f"there is no {uri}; upload it first, and ask within the days that inputs are kept",
                field=name,
            ) from error
        if found.kind != name or found.media_type is None:
            raise ProblemError(
                422,
                "input-wrong-type",
                f"This is no {name}",
                f"{uri} is {found.media_type or 'neither a video nor an image'}; "
                f"upload the {name} there",
                field=name,
            )
        return PinnedFile(version=found.version, media_type=found.media_type)

    def _url(self, uri: str, held: PinnedFile | None) -> str:
        if held is None:
            return uri
        key = uri.removeprefix(self.uri(""))
        if self._base_url:
            version = f"?versionId={quote(held.version, safe='')}" if held.version else ""
            return f"{self._base_url}/{quote(key)}{version}"
        wanted = {"Bucket": self.bucket, "Key": key, "ResponseContentType": held.media_type}
        if held.version is not None:
            wanted["VersionId"] = held.version
        return self.client().generate_presigned_url(
            "get_object", Params=wanted, ExpiresIn=LINK_SECONDS
        )
