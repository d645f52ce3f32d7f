"""The page of permissions and the role for deployments are what the template needs today."""

import copy
import json
import re

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from local.expand import REGION, load
from tests.template.checks import allow, put
from tests.template.deployment import Template, as_list, expanded
from tools.permissions import deploying
from tools.permissions.__main__ import DOCUMENT, ROLE
from tools.permissions.deploying import UnknownPlaceError, needs_of
from tools.permissions.document import render
from tools.permissions.reasons import NoReasonError, useless
from tools.permissions.role import MAPPED, render_role
from tools.permissions.statements import roles_in, statements_of

POLICY_LIMIT = 6_144
"""Characters, without white space, of a managed policy."""
LONG = {"Partition": "aws-us-gov", "Region": "ap-southeast-1", "AccountId": "123456789012"}
AGAIN = "python -m tools.permissions writes it"


@pytest.fixture(scope="module")
def needs():
    return needs_of(expanded())


def changed(change):
    template = copy.deepcopy(expanded())
    change(template)
    return template


def test_the_page_of_permissions_is_that_of_the_template(needs):
    assert DOCUMENT.read_text() == render(expanded(), needs), AGAIN


def test_the_role_for_deployments_is_that_of_the_template(needs):
    assert ROLE.read_text() == render_role(needs), AGAIN


def test_a_permission_without_a_reason_is_not_written(needs):
    template = changed(allow("DocsRole", "dynamodb:Scan", {"Fn::GetAtt": ["TasksTable", "Arn"]}))

    with pytest.raises(NoReasonError, match="DocsRole may dynamodb:Scan on TasksTable"):
        render(template, needs)


def test_no_reason_is_for_a_permission_that_is_gone():
    shared = [
        n for n, r in expanded()["Resources"].items() if r["Type"] == "AWS::IAM::ManagedPolicy"
    ]
    names = [*roles_in(expanded()), *shared]

    assert useless([one for name in names for one in statements_of(name, expanded())]) == []


def test_a_new_type_of_resource_needs_its_actions_and_a_place():
    stream = {"Type": "AWS::Kinesis::Stream", "Properties": {"ShardCount": 1}}

    with pytest.raises(UnknownPlaceError, match="what kinesis:"):
        needs_of(changed(put("Resources", "Stream", to=stream)))


def test_a_new_property_needs_its_actions():
    website = {"IndexDocument": "index.html"}
    template = changed(put("ResultsBucket", "WebsiteConfiguration", to=website))

    assert "s3:PutBucketWebsite" not in needs_of(expanded()).places
    assert "s3:PutBucketWebsite" in needs_of(template).places


@pytest.mark.parametrize(
    ("kind", "actions"), [(kind, actions) for kind, actions, _ in deploying.FEATURES]
)
def test_what_is_left_out_is_something_that_the_registry_names(kind, actions):
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, kind).schema
    named = {a for one in schema["handlers"].values() for a in one["permissions"]}

    assert any(re.fullmatch(actions, action) for action in named)


def role(parameters):
    template = Template(load(ROLE), parameters, "")
    [found] = template.of("IAM::Role")
    return template, template.of("IAM::Role")[found]


def test_the_role_names_its_actions_and_everything_that_iam_can_name(needs):
    template, _ = role({})

    for statement in template.statements("DeployRole"):
        for action in as_list(statement["Action"]):
            assert "*" not in action
            if "*" in as_list(statement["Resource"]):
                assert action in MAPPED or needs.places[action] == {"*"}


@pytest.mark.parametrize("given", [{}, {"KmsKeyArn": "k" * 76, "PermissionsBoundaryArn": "b" * 60}])
def test_each_policy_of_the_role_is_as_long_as_iam_allows(given):
    template, found = role({"StackName": "x" * 20, **given})
    policies = template.of("IAM::ManagedPolicy")

    assert len(found["ManagedPolicyArns"]) == len(policies)
    for name, policy in policies.items():
        written = json.dumps(policy["PolicyDocument"])
        for pseudo, value in LONG.items():
            written = written.replace(f"${{AWS::{pseudo}}}", value)
        assert len(re.sub(r"\s", "", written)) < POLICY_LIMIT, name


def test_a_bounded_role_makes_no_role_without_the_boundary():
    template, _ = role({"PermissionsBoundaryArn": "arn:boundary"})
    makes = {"iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy"}
    bound = {"iam:PermissionsBoundary": "arn:boundary"}

    for statement in template.statements("DeployRole"):
        actions = {*as_list(statement["Action"])}
        assert "iam:DeleteRolePermissionsBoundary" not in actions
        if actions & makes:
            assert statement["Condition"]["StringEquals"] == bound
            makes -= actions
    assert makes == set()


def test_the_role_uses_no_key_that_was_not_given():
    def uses_key(parameters):
        template, _ = role(parameters)
        return [a for a, place in template.grants("DeployRole") if a == "kms:Decrypt" and place]

    assert uses_key({}) == []
    assert uses_key({"KmsKeyArn": "k"}) == ["kms:Decrypt"]
