"""How AWS is called: time-outs and attempts of its clients, and the S3 client."""

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
"""A presigned link's life; it ends earlier when the session of the role that signed it does."""


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
