"""Clients of AWS, with their time-outs and retries.

They are botocore's, as those of boto3 are: what boto3 adds is a fifth of a cold start, and nothing
here uses it.
"""

from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, overload

from botocore.config import Config
from botocore.session import Session

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient

QUICK: Final = Config(
    connect_timeout=1.0, read_timeout=3.0, retries={"mode": "standard", "total_max_attempts": 4}
)
"""For calls that answer in milliseconds: DynamoDB, Secrets Manager, EventBridge, Step Functions."""


@cache
def aws_session() -> Session:
    """Return the session of all clients: it parses what they share once.

    It builds one client at a time; clients may be shared by threads.
    """
    return Session()


@overload
def aws_client(service: Literal["dynamodb"], config: Config = QUICK) -> "DynamoDBClient": ...
@overload
def aws_client(service: Literal["events"], config: Config = QUICK) -> "EventBridgeClient": ...
@overload
def aws_client(service: Literal["s3"], config: Config = QUICK) -> "S3Client": ...
@overload
def aws_client(
    service: Literal["secretsmanager"], config: Config = QUICK, region: str | None = None
) -> "SecretsManagerClient": ...
@overload
def aws_client(service: Literal["sqs"], config: Config = QUICK) -> "SQSClient": ...
@overload
def aws_client(service: Literal["stepfunctions"], config: Config = QUICK) -> "SFNClient": ...
def aws_client(  # the name decides the type
    service: str, config: Config = QUICK, region: str | None = None
) -> Any:
    """Build a client of a service, with the environment's credentials, and its region if None."""
    return aws_session().create_client(service, region_name=region, config=config)


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
    client = aws_client("s3", config.merge(_NAMED_BY_HOST))
    if client.meta.endpoint_url.startswith("https:"):
        return client
    return aws_client("s3", config.merge(_PLAIN_HTTP))


_NAMED_BY_HOST: Final = Config(s3={"addressing_style": "virtual"})
_PLAIN_HTTP: Final = Config(
    s3={"payload_signing_enabled": False}, request_checksum_calculation="when_required"
)
