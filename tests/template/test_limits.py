"""The template stays within AWS's limits, with the longest name that a stack may have.

The emulators check none of these. Each limit is in AWS's documentation (docs/aws-review.md).
"""

import json
import re
from typing import Any

from local.expand import REGION
from tests.template.checks import VARIABLES, Break, add, allow, check, put
from tests.template.deployment import Faults, Template, as_list
from tools.aws_review.names import LONGEST, LONGEST_STACK_NAME, generated

STACK = "S" * LONGEST_STACK_NAME
ACCOUNT = "123456789012"
ROLE_POLICY_CHARACTERS = 10_240
ENVIRONMENT_BYTES = 4_096
QUEUE_POLICY = {"bytes": 8_192, "statements": 20, "conditions": 10, "actions": 7}
BUS_POLICY_BYTES = 10_240
FUNCTION_POLICY_BYTES = 20_480
TEMPLATE_BYTES = 1_048_576
COUNTS = {"Parameters": 200, "Resources": 500, "Outputs": 200}
DESCRIPTION_BYTES = {"Parameters": 4_000, "Outputs": 1_024}
NAMED_CHARACTERS = {  # what this template names itself
    "Events::EventBus": ("Name", 256),
    "Logs::LogGroup": ("LogGroupName", 512),
    "SecretsManager::Secret": ("Name", 512),
}
EVENT_PATTERN_CHARACTERS = 2_048
LONG = "x" * 4_096


def with_the_longest_names(template: Template) -> Template:
    pseudo = {
        "AWS::AccountId": ACCOUNT,
        "AWS::Partition": "aws",
        "AWS::Region": "ap-northeast-1",
        "AWS::StackName": STACK,
        "AWS::URLSuffix": "amazonaws.com",
    }
    return Template(template.written, {**template.parameters, **pseudo}, template.source)


def spelled(value: Any, template: Template) -> str:
    """Write a part of the template as AWS gets it, references as long as they can get."""

    def found(reference: re.Match[str]) -> str:
        name, attribute = reference[1], reference[2]
        kind = template.resources[name]["Type"].removeprefix("AWS::")
        own = generated(kind, STACK, name) if kind in LONGEST else STACK
        if kind == "SQS::Queue" and attribute is None:
            return f"https://sqs.ap-northeast-1.amazonaws.com/{ACCOUNT}/{own}"
        service = kind.partition("::")[0].lower()
        return own if attribute is None else f"arn:aws:{service}:{REGION}:{ACCOUNT}:kind/{own}"

    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return re.sub(r"\$\{(\w+)(?:\.(\w+))?\}", found, text)


@check(
    Break("a long one", allow("IngestRole", "s3:GetObject", [LONG, LONG])),
)
def test_every_role_has_room_for_its_policies(template: Template) -> Faults:
    template = with_the_longest_names(template)
    for name, role in template.of("IAM::Role").items():
        size = sum(len(spelled(p["PolicyDocument"], template)) for p in role["Policies"])
        if size > ROLE_POLICY_CHARACTERS:
            yield f"the policies of {name} have {size} characters"


@check(
    Break("a long setting", put("SubmitFunction", *VARIABLES, "MORE", to=LONG)),
)
def test_every_environment_fits_with_a_kilobyte_left_for_what_parameters_add(
    template: Template,
) -> Faults:
    template = with_the_longest_names(template)
    for name, function in template.of("Lambda::Function").items():
        size = len(spelled(function["Environment"]["Variables"], template))
        if size > ENVIRONMENT_BYTES - 1_024:
            yield f"the environment of {name} has {size} bytes"


@check(
    Break(
        "a long one",
        put("MediaQueuePolicy", "PolicyDocument", "Statement", 0, "Sid", to=LONG * 2),
    ),
    Break(
        "many actions",
        put("MediaQueuePolicy", "PolicyDocument", "Statement", 0, "Action", to=["sqs:X"] * 8),
    ),
)
def test_every_queue_policy_is_within_sqs_limits(template: Template) -> Faults:
    template = with_the_longest_names(template)
    for name, policy in template.of("SQS::QueuePolicy").items():
        statements = policy["PolicyDocument"]["Statement"]
        counted = {
            "bytes": len(spelled(policy["PolicyDocument"], template)),
            "statements": len(statements),
            "conditions": sum(len(s.get("Condition", {})) for s in statements),
            "actions": max(len(as_list(s["Action"])) for s in statements),
        }
        for what, most in QUEUE_POLICY.items():
            if counted[what] > most:
                yield f"{name} has {counted[what]} {what}"


@check(
    Break("a long one", put("EventBus", "Policy", "Statement", 0, "Sid", to=LONG * 3)),
)
def test_the_bus_policy_is_within_eventbridge_limit(template: Template) -> Faults:
    template = with_the_longest_names(template)
    for name, bus in template.of("Events::EventBus").items():
        size = len(spelled(bus["Policy"], template))
        if size > BUS_POLICY_BYTES:
            yield f"the policy of {name} has {size} bytes"


@check(
    Break(
        "a hundred paths",
        lambda template: [
            add(
                f"More{number}",
                "Lambda::Permission",
                FunctionName={"Ref": "TasksFunction"},
                Action="lambda:InvokeFunction",
                Principal="apigateway.amazonaws.com",
                SourceArn=LONG[:300],
            )(template)
            for number in range(100)
        ],
    ),
)
def test_every_function_has_room_for_the_statements_of_its_permissions(
    template: Template,
) -> Faults:
    template = with_the_longest_names(template)
    sizes: dict[str, int] = {}
    for permission in template.of("Lambda::Permission").values():
        # A statement repeats the permission's members, its id and the function's ARN.
        size = len(spelled(permission, template)) + 300
        name = re.sub(r"\W", "", permission["FunctionName"].split(".")[0])
        sizes[name] = sizes.get(name, 0) + size
    for name, size in sizes.items():
        if size > FUNCTION_POLICY_BYTES:
            yield f"the permissions of {name} have {size} bytes"


@check(
    Break("a long bus", put("EventBus", "Name", to={"Fn::Sub": "${AWS::StackName}-" + LONG[:128]})),
    Break(
        "a long group",
        put("FallbackStateMachineLogs", "LogGroupName", to={"Fn::Sub": "${AWS::StackName}" * 5}),
    ),
)
def test_what_is_named_after_the_stack_fits_for_the_longest_stack_name(
    template: Template,
) -> Faults:
    template = with_the_longest_names(template)
    for kind, (member, most) in NAMED_CHARACTERS.items():
        for name, properties in template.of(kind).items():
            if len(properties.get(member, "")) > most:
                yield f"{name} is named {properties[member]}"


@check(
    Break(
        "many alternatives",
        put("WebhookRule", "EventPattern", "source", to=[LONG]),
    ),
)
def test_every_event_pattern_is_within_eventbridge_limit(template: Template) -> Faults:
    for name, rule in with_the_longest_names(template).of("Events::Rule").items():
        if len(spelled(rule["EventPattern"], template)) > EVENT_PATTERN_CHARACTERS:
            yield f"the pattern of {name} is too long"
        if len(rule["Targets"]) > 5:
            yield f"{name} has more than five targets"


@check(
    Break(
        "outputs",
        lambda template: template["Outputs"].update(
            {f"More{number}": {"Value": "x", "Description": "x"} for number in range(200)}
        ),
    ),
    Break("words", put("Outputs", "EventBus", "Description", to="x" * 1_025)),
    Break("a long one", put("Api", "Body", "info", "title", to="x" * TEMPLATE_BYTES)),
)
def test_the_template_is_within_cloudformation_limits(template: Template) -> Faults:
    for section, most in COUNTS.items():
        if len(template.written[section]) > most:
            yield f"there are {len(template.written[section])} {section}"
    for section, most in DESCRIPTION_BYTES.items():
        for name, part in template.written[section].items():
            if len(part.get("Description", "").encode()) > most:
                yield f"the description of {name} is too long"
    if len(json.dumps(template.written)) > TEMPLATE_BYTES:
        yield "the expanded template is too long for S3"
