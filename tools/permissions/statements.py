"""Reads the statements of the template's roles, with the conditions under which they are there."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

WITH = {  # the template's conditions, in words
    "OwnKey": "with `KmsKeyArn`",
    "ProviderSecretHasKey": "with `ProviderApiKeySecretKmsKeyArn`",
    "Traced": "with `Tracing=Active`",
    "InVpc": "with `SubnetIds`",
}
PSEUDO = {
    "StackName": "STACK",
    "Partition": "aws",
    "Region": "REGION",
    "AccountId": "ACCOUNT",
    "URLSuffix": "amazonaws.com",
}
_NOISE = re.compile(r"arn:aws:|REGION:ACCOUNT:")


class UnknownConditionError(Exception):
    """A condition has no words yet; the message says where to add them."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What a role may do: ``when`` says with which parameter, empty: always."""

    role: str
    allows: bool
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    only_if: tuple[str, ...]
    when: str


def roles_in(template: Mapping[str, Any]) -> list[str]:
    return [name for name, one in template["Resources"].items() if one["Type"] == "AWS::IAM::Role"]


def statements_of(name: str, template: Mapping[str, Any]) -> Iterator[Statement]:
    """List the statements of a role's own policies, or of a managed policy."""
    properties = template["Resources"][name]["Properties"]
    documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
    if "PolicyDocument" in properties:
        documents.append(properties["PolicyDocument"])
    for document in documents:
        for written in document["Statement"]:
            condition, statement = "", written
            if "Fn::If" in written:
                condition, statement, _ = written["Fn::If"]
            yield Statement(
                role=name,
                allows=statement["Effect"] == "Allow",
                actions=tuple(_as_list(statement["Action"])),
                resources=tuple(_place(one) for one in _as_list(statement["Resource"])),
                only_if=tuple(_limits(statement.get("Condition", {}))),
                when=words_of(condition) if condition else "",
            )


def words_of(condition: str) -> str:
    if condition not in WITH:
        message = f"say in tools/permissions/statements.py, WITH, what {condition} means"
        raise UnknownConditionError(message)
    return WITH[condition]


def _place(resource: object) -> str:
    """Write a resource as a reader of the template knows it."""
    match resource:
        case {"Fn::GetAtt": [name, "Arn"]} | {"Ref": name}:
            return str(name)
        case {"Fn::GetAtt": [name, "StreamArn"]}:
            return f"{name}'s stream"
        case {"Fn::Sub": text}:
            for pseudo, shown in PSEUDO.items():
                text = text.replace(f"${{AWS::{pseudo}}}", shown)
            return re.sub(r"\$\{(\w+)(?:\.Arn)?\}", r"\1", _NOISE.sub("", text))
        case {"Fn::If": ["OwnProviderSecret", then, otherwise]}:
            return f"{_place(then)}`, or, if it is given, `{_place(otherwise)}"
        case str():
            return resource
    message = f"teach tools/permissions/statements.py to write {resource}"
    raise UnknownConditionError(message)


def _limits(conditions: Mapping[str, Any]) -> Iterator[str]:
    for operator, keys in conditions.items():
        for key, values in keys.items():
            texts = ", ".join(f"`{_place(one)}`" for one in _as_list(values))
            yield f"`{key}` is {'like ' if 'Like' in operator else ''}{texts}"


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
