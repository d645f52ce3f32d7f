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


def s3_client() -> "S3Client":
    """Return a client that streams a body of known length in one request, without retries.

    Over https, botocore signs the body with a trailing checksum, and URLs use the bucket's own
    host, because the global host redirects. A plain-http endpoint supports neither, so there the
    body is unsigned and the bucket is part of the path.
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
