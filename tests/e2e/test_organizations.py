"""A stack with all that an organization may ask for: a key, a boundary, a network and so on."""

import json

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

from local.stack import REGION
from ops import erase
from tests.e2e.caller import SECONDS, Caller
from tests.e2e.drops import image, video
from tests.e2e.organization import SECRET_REGION, clients, parameters_of


@pytest.fixture(scope="module")
def caller(guarded_stack):
    return Caller(guarded_stack)


@pytest.fixture(scope="module")
def parameters(caller):
    return parameters_of(caller.stack)


def resources(caller, kind):
    pages = (
        caller.stack.client("cloudformation")
        .get_paginator("list_stack_resources")
        .paginate(StackName=caller.stack.stack_name)
    )
    found = [one for page in pages for one in page["StackResourceSummaries"]]
    return [one["PhysicalResourceId"] for one in found if one["ResourceType"] == kind]


def versions(caller, prefix):
    listed = caller.s3.list_object_versions(Bucket=caller.stack.results_bucket, Prefix=prefix)
    return [*listed.get("Versions", ()), *listed.get("DeleteMarkers", ())]


def prefix_of(caller, task_id):
    [prefix] = {key.rpartition("/")[0] for key in caller.result_keys() if f"/{task_id}/" in key}
    return f"{prefix}/"


def test_the_provider_is_paid_with_the_key_of_a_secret_in_another_region(caller, parameters):
    own = {"callback", "webhook"}
    vault = caller.stack.client("secretsmanager")
    names = {one["Name"].rpartition("/")[2] for one in vault.list_secrets()["SecretList"]}
    assert names == own
    assert f":{SECRET_REGION}:" in parameters["ProviderApiKeySecretArn"]

    task_id = caller.submit("seconds=1", consent="release-1")

    assert caller.wait(task_id, {"succeeded"}).provider_task_id
    assert caller.creates_paid(task_id) == 1


def test_a_role_reads_no_other_secret(caller, parameters):
    [submit] = [name for name in resources(caller, "AWS::IAM::Role") if "SubmitRole" in name]
    other = clients(caller.stack.endpoint_url, SECRET_REGION)("secretsmanager").create_secret(
        Name="keys/other", SecretString="x"
    )["ARN"]
    arn = caller.stack.client("iam").get_role(RoleName=submit)["Role"]["Arn"]
    lent = caller.stack.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")
    as_submit = boto3.client(
        "secretsmanager",
        endpoint_url=caller.stack.endpoint_url,
        region_name=SECRET_REGION,
        aws_access_key_id=lent["Credentials"]["AccessKeyId"],
        aws_secret_access_key=lent["Credentials"]["SecretAccessKey"],
        aws_session_token=lent["Credentials"]["SessionToken"],
    )
    assert as_submit.get_secret_value(SecretId=parameters["ProviderApiKeySecretArn"])
    with pytest.raises(ClientError, match="AccessDenied"):
        as_submit.get_secret_value(SecretId=other)


def test_logs_and_secrets_are_under_the_key(caller, parameters):
    key, vault = parameters["KmsKeyArn"], caller.stack.client("secretsmanager")
    pages = caller.stack.client("logs").get_paginator("describe_log_groups").paginate()
    groups = {one["logGroupName"]: one for page in pages for one in page["logGroups"]}
    for name in resources(caller, "AWS::Logs::LogGroup"):
        assert groups[name]["kmsKeyId"] == key, name
    for name in resources(caller, "AWS::SecretsManager::Secret"):
        assert vault.describe_secret(SecretId=name)["KmsKeyId"] == key, name


def test_a_table_cannot_be_deleted(caller):
    with pytest.raises(ClientError, match="protection"):
        caller.stack.client("dynamodb").delete_table(TableName=caller.stack.tasks_table)


def test_uploads_under_the_key_are_compared_by_their_checksums(caller, parameters):
    """The emulator keeps its ETags under a key, so the row tells what is compared."""
    first, again, other = (submit_uploads(caller, content) for content in ("1", "1", "2"))

    task = caller.row(first.json()["id"])
    assert task.video_file is not None
    assert "CRC" in (task.video_file.etag or "")
    assert again.json()["id"] == task.task_id
    assert (other.status_code, other.json()["differs"]) == (409, ["video", "image"])
    caller.wait(task.task_id, {"succeeded"})
    bucket, _, key = task.video.removeprefix("s3://").partition("/")
    assert caller.s3.head_object(Bucket=bucket, Key=key)["SSEKMSKeyId"] == parameters["KmsKeyArn"]


def submit_uploads(caller, content):
    """Upload a video and an image with checksums, as S3 adds them on AWS, and submit them."""
    url = f"{caller.stack.api_url}/uploads"
    opened = requests.post(url, headers=caller.headers, timeout=SECONDS).json()
    for name, data in (("video", video(content)), ("image", image(content))):
        key = opened[name]["fields"]["key"]
        caller.s3.put_object(Bucket=caller.stack.uploads_bucket, Key=key, Body=data)
    body = {"upload_id": opened["upload_id"], "consent": "release-1"}
    return caller.post(body, {"Idempotency-Key": "uploads-1"})


@pytest.fixture
def overwritten(caller):
    """A task whose files were overwritten and deleted, so that only old versions have them."""
    task_id = caller.submit("seconds=1", consent="release-1")
    caller.wait(task_id, {"succeeded"})
    prefix, bucket = prefix_of(caller, task_id), caller.stack.results_bucket
    written = {one["Key"] for one in versions(caller, prefix)}
    for key in written:
        caller.s3.put_object(Bucket=bucket, Key=key, Body=b"overwritten")
    for key in written:
        caller.s3.delete_object(Bucket=bucket, Key=key)
    assert caller.objects(task_id) == {}
    assert len(versions(caller, prefix)) == 3 * len(written) > 3
    return task_id, prefix


def test_erasing_a_task_removes_every_version_of_its_result(caller, overwritten):
    task_id, prefix = overwritten

    url = f"{caller.stack.api_url}/tasks/{task_id}"
    assert requests.delete(url, headers=caller.headers, timeout=SECONDS).status_code == 200

    assert versions(caller, prefix) == []


def test_an_operators_erasure_removes_every_version_too(caller, overwritten, monkeypatch, capsys):
    task_id, prefix = overwritten
    monkeypatch.setenv("AWS_ENDPOINT_URL", caller.stack.endpoint_url)
    session = boto3.Session("test", "test", region_name=REGION)
    monkeypatch.setattr(boto3, "Session", lambda: session)

    arguments = [caller.stack.stack_name, "--client", caller.row(task_id).client_id]
    assert erase.main([*arguments, "--task", task_id]) == 0, capsys.readouterr()

    assert [one["id"] for one in json.loads(capsys.readouterr().out)["erased"]] == [task_id]
    assert versions(caller, prefix) == []
