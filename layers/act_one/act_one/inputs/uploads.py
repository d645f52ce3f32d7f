"""Uploads over HTTP: two presigned POSTs, whose files `POST /v1/tasks` takes by their id."""

import secrets
from typing import TYPE_CHECKING, Final

from act_one.clock import rfc3339
from act_one.inputs.bucket import UPLOADS
from act_one.json_types import Json
from act_one.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

UPLOAD_SECONDS: Final = 900
"""How long a file may be uploaded; S3 looks at the time when an upload begins."""


def open_upload(client_id: str, s3: "S3Client", settings: Settings, now: float) -> dict[str, Json]:
    """Answer where a client may upload a video and an image, and the id of the two.

    Each holds for one key, for one kind of content type, and for a size that the provider takes.
    """
    upload_id = secrets.token_hex(8)
    folder = f"{UPLOADS}{client_id}/{upload_id}/"
    bucket = settings.uploads_bucket
    return {
        "upload_id": upload_id,
        "expires_at": rfc3339(now + UPLOAD_SECONDS),
        "video": _post("video", folder, settings.max_video_bytes, bucket, s3),
        "image": _post("image", folder, settings.max_image_bytes, bucket, s3),
    }


def _post(kind: str, folder: str, max_bytes: int, bucket: str, s3: "S3Client") -> dict[str, Json]:
    form = s3.generate_presigned_post(
        Bucket=bucket,
        Key=f"{folder}{kind}",
        Conditions=[
            ["content-length-range", 1, max_bytes],
            ["starts-with", "$Content-Type", f"{kind}/"],
        ],
        ExpiresIn=UPLOAD_SECONDS,
    )
    return {"url": form["url"], "fields": {**form["fields"]}, "max_bytes": max_bytes}
