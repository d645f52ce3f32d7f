"""A second stack, deployed without a provider key: what works without it, and that IAM is real."""

import json

import pytest

from local.stack import ROOT, running_stack
from tests.e2e.caller import Caller
from tests.e2e.conftest import PARAMETERS


@pytest.fixture(scope="module")
def keyless(stack):
    """A stack beside the first one, with its provider but without a key for it."""
    parameters = {**PARAMETERS, "ProviderBaseUrl": stack.provider_url, "CallbackGraceSeconds": "3"}
    with running_stack(parameters, ROOT / ".local/test-keyless") as running:
        yield Caller(running)


def test_a_stack_without_a_provider_key_says_so_until_it_has_one(keyless, stack):
    refused = keyless.post(keyless.body("seconds=1"))
    assert refused.status_code == 503
    assert refused.json()["code"] == "provider-key-not-set"
    assert keyless.rows() == 0

    given = stack.client("secretsmanager").get_secret_value(
        SecretId=f"{stack.stack_name}/provider"
    )["SecretString"]
    keyless.stack.client("secretsmanager").put_secret_value(
        SecretId=f"{stack.stack_name}/provider", SecretString=given
    )

    # The simulator can call only the first stack back, so this one is the fallback's.
    task_id = keyless.submit("seconds=1&callback=lost")
    assert keyless.wait(task_id, {"succeeded"}).settled_by == "fallback"


def test_a_permission_that_is_taken_away_is_missed(keyless):
    iam = keyless.stack.client("iam")
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

    task_id = keyless.submit("seconds=1&callback=lost")
    task = keyless.wait(task_id, {"storing"})

    with pytest.raises(AssertionError, match="is storing"):
        keyless.wait(task_id, {"succeeded"}, 10)
    assert keyless.objects(task_id) == {}
    assert "AccessDenied" in str(keyless.read(task_id)["warnings"])
    assert task.billing == "charged"

    iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(document))
    assert keyless.wait(task_id, {"succeeded"}, 60).copy_attempts > 1
