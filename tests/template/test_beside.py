"""The templates beside act-one's: the simulator, and the receiver of the probe."""

import json
import re

import pytest

from local.expand import expand
from tests.template.deployment import ROOT, as_list

TEMPLATES = ("local/simulator/template.yaml", "ops/probe/receiver/template.yaml")


@pytest.fixture(scope="module", params=TEMPLATES)
def template(request):
    return expand(ROOT / request.param)


def of(template, kind):
    return [
        one.get("Properties", {}) for one in template["Resources"].values() if one["Type"] == kind
    ]


def test_its_role_may_do_what_it_names_where_it_names_it(template):
    [role] = of(template, "AWS::IAM::Role")
    [policy] = role["Policies"]

    assert "ManagedPolicyArns" not in role
    for statement in policy["PolicyDocument"]["Statement"]:
        assert all("*" not in action for action in as_list(statement["Action"])), statement
        assert statement["Resource"] != "*"


def test_its_url_has_both_permissions_and_nothing_else_may_be_called(template):
    permissions = of(template, "AWS::Lambda::Permission")

    assert [one["AuthType"] for one in of(template, "AWS::Lambda::Url")] == ["NONE"]
    assert sorted(one["Action"] for one in permissions) == [
        "lambda:InvokeFunction",
        "lambda:InvokeFunctionUrl",
    ]
    for one in permissions:
        assert one.get("FunctionUrlAuthType") == "NONE" or one.get("InvokedViaFunctionUrl") is True


def test_nothing_of_it_stays_and_its_logs_end(template):
    for name, resource in template["Resources"].items():
        assert resource.get("DeletionPolicy", "Delete") == "Delete", name
    assert all(one["RetentionInDays"] for one in of(template, "AWS::Logs::LogGroup"))
    assert all(
        one["TimeToLiveSpecification"]["Enabled"] for one in of(template, "AWS::DynamoDB::Table")
    )


def test_no_secret_is_in_the_environment(template):
    [function] = of(template, "AWS::Lambda::Function")

    values = json.dumps(function["Environment"]["Variables"])
    assert "resolve:secretsmanager" not in values
    assert "GetSecretValue" not in values
    assert not re.search(r'"(KEY|PASSWORD|TOKEN|SECRET)"', values)


def test_the_simulators_queue_outlasts_its_function_and_takes_only_its_messages():
    template = expand(ROOT / TEMPLATES[0])
    [queue], [function] = of(template, "AWS::SQS::Queue"), of(template, "AWS::Lambda::Function")

    assert queue["VisibilityTimeout"] >= 6 * function["Timeout"]
    assert of(template, "AWS::SQS::QueuePolicy") == []
    [mapping] = of(template, "AWS::Lambda::EventSourceMapping")
    assert mapping["BatchSize"] == 1  # so that an error repeats no other callback
