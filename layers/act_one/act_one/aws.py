"""Time-outs and retries of AWS clients, and the S3 client."""

from typing import TYPE_CHECKING, Final

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

QUICK: Final = Config(
    connect_timeout=1.0, read_timeout=3.0, retries={"mode": "standard", "total_max_attempts": 4}
)
"""For calls that answer in milliseconds: DynamoDB, Secrets Manager, EventBridge, Step Functions."""

LINK_SECONDS: Final = 3_600
"""How long a presigned URL is valid, unless the session of its signer ends earlier."""


def s3_client(*, attempts: int = 4) -> "S3Client":
    """Return a client that makes up to this many attempts at a call.

    S3 asks for retries of InternalError and SlowDown. A body that can't be read twice needs a
    client with one attempt, which streams it in one request if its length is known.

    Over https, botocore signs the body with a trailing checksum, and URLs use the bucket's own
    host, because the global host redirects. A plain-http endpoint supports neither, so there the
    body is unsigned and the bucket is part of the path.
    """
    config = Config(
        connect_timeout=3.0,
        read_timeout=60.0,
        retries={"mode": "standard", "total_max_attempts": attempts},
        signature_version="s3v4",
    )
    client = boto3.client("s3", config=config.merge(_NAMED_BY_HOST))
    if client.meta.endpoint_url.startswith("https:"):
        return client
    return boto3.client("s3", config=config.merge(_PLAIN_HTTP))


_NAMED_BY_HOST: Final = Config(s3={"addressing_style": "virtual"})
_PLAIN_HTTP: Final = Config(
    s3={"payload_signing_enabled": False}, request_checksum_calculation="when_required"
)
