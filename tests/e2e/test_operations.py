"""A second stack, deployed without a provider key: what its operator can do with it.

Its provider is in this process and can't reach the function URL, so that the fallback ends its
tasks; where a callback is wanted, the tests call back themselves.
"""

import json
import time
from typing import Any

import boto3
import pytest
import requests

from act_one.keys import Keys
from act_one.provider.callback_token import callback_url
from local.emulator import environment
from local.simulator import Provider
from local.stack import REGION, ROOT, running_stack
from ops import redrive
from ops.restore import restore
from tests.e2e.caller import Caller
from tests.e2e.conftest import PARAMETERS
from tests.transcripts import TRANSCRIPTS

FIRST, SECOND = "first-account", "second-account"


@pytest.fixture(scope="module")
def provider():
    with Provider(api_key=FIRST, other_api_keys=(SECOND,)) as running:
        yield running


@pytest.fixture(scope="module")
def caller(provider):
    parameters = {**PARAMETERS, "ProviderBaseUrl": provider.url, "CallbackGraceSeconds": "3"}
    with running_stack(parameters, ROOT / ".local/test-operations") as running:
        yield Caller(running)


def put_secret(caller: Caller, name: str, value: Any) -> None:
    caller.stack.client("secretsmanager").put_secret_value(
        SecretId=f"{caller.stack.stack_name}/{name}",
        SecretString=value if isinstance(value, str) else json.dumps(value),
    )


def handle_callback(caller: Caller, task_id: str, key: str, body: str = "") -> int:
    path = callback_url("", task_id, Keys(key))
    host = caller.stack.callback_url.removeprefix("https://").rstrip("/")
    return requests.post(
        f"{caller.stack.endpoint_url}{path}", headers={"Host": host}, data=body, timeout=20
    ).status_code


def test_a_stack_without_a_provider_key_says_so_until_it_has_one(caller):
    refused = caller.post(caller.body("seconds=1"))
    assert refused.status_code == 503
    assert refused.json()["code"] == "provider-key-not-set"
    assert caller.rows() == 0

    put_secret(caller, "provider", FIRST)

    task_id = caller.submit("seconds=1&callback=lost")
    assert caller.row(task_id).stage == "submitted"


def test_what_the_old_key_sent_is_found_after_the_key_was_replaced(caller, provider):
    task_id = caller.submit("seconds=1&callback=lost")

    # The fallback runs for the first time after this, so it starts with the new pair of keys.
    put_secret(caller, "provider", {"current": SECOND, "previous": FIRST})

    assert caller.wait(task_id, {"succeeded"}).settled_by == "fallback"
    asked = [entry for entry in provider.requests() if entry["route"] == "feed"]
    assert "task_not_exist" in {entry["outcome"] for entry in asked}


def test_a_callback_made_with_the_previous_secret_is_let_in_while_it_is_kept(caller):
    vault = caller.stack.client("secretsmanager")
    name = f"{caller.stack.stack_name}/callback"
    old = json.loads(vault.get_secret_value(SecretId=name)["SecretString"])["current"]
    task_id = caller.submit("seconds=60&callback=lost")
    assert handle_callback(caller, task_id, old) == 200

    put_secret(caller, "callback", {"current": "new" * 16, "previous": old})

    ends_at = time.monotonic() + 120  # an unknown key id reloads the secret every 30 s at most
    while handle_callback(caller, task_id, "new" * 16) != 200:
        assert time.monotonic() < ends_at
        time.sleep(2)
    assert handle_callback(caller, task_id, old) == 200
    assert handle_callback(caller, task_id, "guessed") == 404


def test_a_task_is_canceled_only_while_nothing_was_sent(caller):
    waiting = caller.submit("seconds=1&create=throttled&retry_after=600")
    sent = caller.submit("seconds=30&callback=lost")
    assert caller.row(waiting).stage == "accepted"

    canceled, again, refused = (caller.cancel(task) for task in (waiting, waiting, sent))

    assert [answer.status_code for answer in (canceled, again, refused)] == [200, 200, 409]
    assert canceled.json() == again.json()
    assert canceled.json()["status"] == "canceled"
    assert canceled.json()["billing"] == "none"
    assert refused.json()["code"] == "not-cancelable"
    assert caller.cancel("task_that_is_not_there").status_code == 404
    assert caller.row(waiting).due_at is None
    assert caller.creates_paid(waiting) == 0


def test_what_was_given_up_is_fetched_after_a_redrive(caller, monkeypatch, capsys):
    task_id = caller.submit("seconds=1&callback=lost&media=missing&media_times=1")
    # As if its result had been known for more than a day: the next failure to fetch it ends it.
    row = caller.wait(task_id, {"storing"})
    caller.table.record(row, source_known_at=row.source_known_at - 90_000)
    failed = caller.wait(task_id, {"failed"})
    assert failed.error is not None
    assert failed.error.code == "media_unavailable"

    operator = {"AWS_ENDPOINT_URL": caller.stack.endpoint_url, "AWS_DEFAULT_REGION": REGION}
    for name, value in environment(caller.stack.endpoint_url).items() | operator.items():
        monkeypatch.setenv(name, value)
    assert redrive.main([caller.stack.stack_name]) == 0
    assert capsys.readouterr().out == TRANSCRIPTS["make redrive STACK=act-one"]

    assert caller.wait(task_id, {"succeeded"}).late
    assert caller.creates_paid(task_id) == 1


def test_lost_tasks_are_restored_without_being_sent_again(caller, monkeypatch):
    waiting = caller.submit("seconds=1&create=throttled&retry_after=600")
    sent = caller.submit("seconds=1&callback=lost")
    dynamodb = caller.stack.client("dynamodb")
    dynamodb.create_table(
        TableName="restored",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "task_id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "task_id", "KeyType": "HASH"}],
    )
    for task_id in (waiting, sent):
        key = {"task_id": {"S": task_id}}
        row = dynamodb.get_item(TableName=caller.stack.tasks_table, Key=key)["Item"]
        dynamodb.put_item(TableName="restored", Item=row)
        dynamodb.delete_item(TableName=caller.stack.tasks_table, Key=key)
    monkeypatch.setenv("AWS_ENDPOINT_URL", caller.stack.endpoint_url)
    session = boto3.Session(
        aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION
    )

    done = restore(caller.stack.stack_name, "restored", session)

    assert (done.copied, done.unconfirmed) == (2, 1)
    assert caller.row(waiting).stage in {"unconfirmed", "expired"}
    assert caller.creates_paid(waiting) == 0
    assert caller.wait(sent, {"succeeded"}).settled_by == "fallback"
    [schedule] = caller.stack.client("scheduler").list_schedules()["Schedules"]
    assert schedule["State"] == "ENABLED"


def test_a_permission_that_is_taken_away_is_missed(caller):
    iam = caller.stack.client("iam")
    role = next(
        role["RoleName"]
        for page in iam.get_paginator("list_roles").paginate()
        for role in page["Roles"]
        if "CopyRole" in role["RoleName"]
    )
    policy = iam.list_role_policies(RoleName=role)["PolicyNames"][0]
    document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
    kept = [
        statement
        for statement in document["Statement"]
        if "s3:PutObject" not in statement["Action"]
    ]
    assert len(kept) == len(document["Statement"]) - 1
    iam.put_role_policy(
        RoleName=role,
        PolicyName=policy,
        PolicyDocument=json.dumps({**document, "Statement": kept}),
    )

    task_id = caller.submit("seconds=1&callback=lost")
    task = caller.wait(task_id, {"storing"})

    with pytest.raises(AssertionError, match="is storing"):
        caller.wait(task_id, {"succeeded"}, 10)
    assert caller.objects(task_id) == {}
    assert "AccessDenied" in str(caller.read(task_id)["warnings"])
    assert task.billing == "charged"

    iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(document))
    assert caller.wait(task_id, {"succeeded"}, 60).copy_attempts > 1
