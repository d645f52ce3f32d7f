"""Uploads over HTTP: two presigned forms; `POST /v1/tasks` accepts their ``upload_id``."""

import secrets
from typing import TYPE_CHECKING, Final

from act_one.clock import rfc3339
from act_one.inputs.bucket import UPLOADS
from act_one.json_types import Json
from act_one.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

UPLOAD_SECONDS: Final = 900
"""How long the forms are valid; S3 checks this when an upload begins."""


def open_upload(client_id: str, s3: "S3Client", settings: Settings, now: float) -> dict[str, Json]:
    """Return the presigned forms of a video and an image, and their ``upload_id``.

    Each form is limited to one key, one kind of content type, and the size the provider accepts.
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
