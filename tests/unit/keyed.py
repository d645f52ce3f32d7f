"""S3 as it is under a customer's KMS key: the ETag is no hash of the content.

The emulator notes the key but keeps its ETags. This client of it has another ETag for each version
of an object, wherever S3 sends or takes one.
"""

import hashlib

import boto3

from local.emulator import ADMINISTRATOR, REGION

KEY = "arn:aws:kms:us-east-1:000000000000:key/00000000-0000-0000-0000-000000000000"


def keyed_s3(plain):
    """Build a client of the emulator that ``plain`` calls, with ETags as under a key."""
    s3 = boto3.client(
        "s3",
        endpoint_url=plain.meta.endpoint_url,
        region_name=REGION,
        aws_access_key_id=ADMINISTRATOR["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ADMINISTRATOR["AWS_SECRET_ACCESS_KEY"],
    )

    def of_one(parsed, **_):
        if "ETag" in parsed:
            parsed["ETag"] = f'"{_etag(parsed["ETag"], parsed.get("VersionId"))}"'

    def of_many(parsed, **_):
        if "Contents" not in parsed:
            return
        listed = plain.list_object_versions(Bucket=parsed["Name"], Prefix=parsed["Prefix"])
        latest = {one["Key"]: one["VersionId"] for one in listed["Versions"] if one["IsLatest"]}
        for found in parsed["Contents"]:
            found["ETag"] = f'"{_etag(found["ETag"], latest[found["Key"]])}"'

    def taken(params, **_):
        if "IfMatch" in params:
            named = {
                name: params[name] for name in ("Bucket", "Key", "VersionId") if name in params
            }
            try:
                head = plain.head_object(**named)
            except plain.exceptions.ClientError:
                return
            is_that = params["IfMatch"] == _etag(head["ETag"], head.get("VersionId"))
            params["IfMatch"] = head["ETag"] if is_that else "0" * 32

    for operation in ("GetObject", "HeadObject", "PutObject"):
        s3.meta.events.register(f"after-call.s3.{operation}", of_one)
    s3.meta.events.register("after-call.s3.ListObjectsV2", of_many)
    s3.meta.events.register("provide-client-params.s3.GetObject", taken)
    return s3


def encrypt_by_key(s3, bucket):
    """Set a bucket's default encryption, as the template does with ``KmsKeyArn``."""
    by_default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}
    s3.put_bucket_encryption(
        Bucket=bucket,
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": by_default, "BucketKeyEnabled": True}]
        },
    )


def _etag(content, version):
    return hashlib.md5(f"{content}{version}".encode(), usedforsecurity=False).hexdigest()
