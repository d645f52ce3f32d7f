"""The names that CloudFormation gives to what a template leaves unnamed, at their longest."""

from typing import Final

LONGEST_STACK_NAME: Final = 128
_SUFFIX: Final = "ABCDEFGHIJKLM"
"""CloudFormation adds 12 or 13 letters and digits of its own."""
LONGEST: Final = {
    "ApiGateway::ApiKey": 1_024,
    "ApiGateway::UsagePlan": 255,
    "DynamoDB::Table": 255,
    "Events::Rule": 64,
    "IAM::ManagedPolicy": 128,
    "IAM::Role": 64,
    "Lambda::Function": 64,
    "Lambda::LayerVersion": 64,
    "Logs::LogGroup": 512,
    "S3::Bucket": 63,
    "SQS::Queue": 80,
    "Scheduler::Schedule": 64,
    "StepFunctions::StateMachine": 80,
}
"""Characters of the longest name of each type that CloudFormation names. It cuts the stack's name
and the logical id until the suffix fits."""


def generated(kind: str, stack: str, logical_id: str) -> str:
    """Return a name as CloudFormation makes one, as long as it can get."""
    room = LONGEST[kind] - len(_SUFFIX) - 1
    kept = logical_id[: max(room // 2, room - 1 - len(stack))]
    whole = f"{stack[: room - 1 - len(kept)]}-{kept}"
    name = f"{whole}-{_SUFFIX}"
    return name.lower() if kind == "S3::Bucket" else name
