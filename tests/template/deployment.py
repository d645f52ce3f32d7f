"""The template as CloudFormation deploys it, in a form that checks can compare.

SAM's transform is done, conditions are decided, parameters have their values, and whatever AWS
knows only later is text: `!Ref Queue` is "${Queue}" and `!GetAtt Queue.Arn` "${Queue.Arn}".
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from local.expand import expand

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "template.yaml"
THEIR_SECRET = "arn:aws:secretsmanager:eu-west-1:210987654321:secret:keys/comet-AbCdEf"
OTHERWISE = {  # everything that a condition or a switch asks about, the other way round
    "ProviderApiKey": "key",
    "ProviderApiKeySecretArn": THEIR_SECRET,
    "ProviderApiKeySecretKmsKeyArn": "arn:aws:kms:eu-west-1:210987654321:key/theirs",
    "PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/boundary",
    "KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/ours",
    "SubnetIds": "subnet-0a,subnet-0b",
    "SecurityGroupIds": "sg-0c",
    "WebAclArn": "arn:aws:wafv2:us-east-1:123456789012:regional/webacl/acl/1",
    "AccessLogs": "true",
    "DeletionProtection": "true",
    "ResultsVersioning": "true",
    "CallbackBaseUrl": "https://callbacks.example",
    "CallbackIngress": "Api",
    "CallbackReservedConcurrency": "5",
    "ResultRetentionDays": "30",
    "CorsOrigin": "https://app.example",
    "UploadsCorsOrigin": "https://uploads.example",
    "RequireTls": "false",
    "AllowHttpMedia": "true",
    "UnsafeAllowPrivateMedia": "true",
    "ApiDocs": "false",
    "AlarmEmail": "ops@example.com",
    "DailyBudgetUsd": "100",
    "Tracing": "Active",
    "Architecture": "x86_64",
}

type Faults = Iterator[str]
type Grants = set[tuple[str, str]]
"""Pairs of an action and the resource it is allowed on."""

_ABSENT = object()
_LOGICAL_ID = re.compile(r"\$\{(\w+)(?:\.\w+)?\}")


@cache
def expanded() -> dict[str, Any]:
    return expand(SOURCE)


class Template:
    """An expanded template with parameters; `written` and `source` are it before any of that."""

    def __init__(self, written: dict[str, Any], parameters: Mapping[str, str], source: str) -> None:
        self.written = written
        self.source = source
        defaults = {name: p.get("Default") for name, p in written["Parameters"].items()}
        self.parameters = {name: _text(value) for name, value in (defaults | parameters).items()}

    @cached_property
    def resources(self) -> dict[str, dict[str, Any]]:
        return {
            name: self._resolved(resource)
            for name, resource in self.written["Resources"].items()
            if "Condition" not in resource or self._holds(resource["Condition"])
        }

    @cached_property
    def outputs(self) -> dict[str, dict[str, Any]]:
        return self._resolved(self.written["Outputs"])

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """Give the properties of all resources of a type, by logical id."""
        return {
            name: resource.get("Properties", {})
            for name, resource in self.resources.items()
            if resource["Type"] == f"AWS::{kind}"
        }

    def the(self, kind: str, reference: object) -> dict[str, Any] | None:
        """Give the properties of what a reference means, None if that is no such resource."""
        return self.of(kind).get(named(reference) or "")

    def statements(self, role: object) -> list[dict[str, Any]]:
        """List what a role says, named or referred to, its policies of this template included."""
        properties = self.of("IAM::Role").get(named(role) or role, {})
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        for arn in properties.get("ManagedPolicyArns", []):
            documents += [p["PolicyDocument"] for p in [self.the("IAM::ManagedPolicy", arn)] if p]
        return [statement for document in documents for statement in as_list(document["Statement"])]

    def grants(self, role: object) -> Grants:
        return {
            (action, resource)
            for statement in self.statements(role)
            if statement["Effect"] == "Allow"
            for action in as_list(statement["Action"])
            for resource in as_list(statement["Resource"])
        }

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, list):
            return [member for item in value if (member := self._resolved(item)) is not _ABSENT]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(name, argument)] = value.items()
            if name == "Ref":
                return self._reference(argument)
            if name.startswith("Fn::"):
                return self._computed(name, argument)
        members = {name: self._resolved(member) for name, member in value.items()}
        return {name: member for name, member in members.items() if member is not _ABSENT}

    def _reference(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _ABSENT
        return self.parameters.get(name, f"${{{name}}}")

    def _computed(self, function: str, argument: Any) -> Any:
        match function, argument:
            case "Fn::If", [condition, then, otherwise]:
                return self._resolved(then if self._holds(condition) else otherwise)
            case "Fn::GetAtt", [name, attribute]:
                return f"${{{name}.{attribute}}}"
            case "Fn::GetAtt", str():
                return f"${{{argument}}}"
            case "Fn::Sub", str():
                return self._substituted(argument, {})
            case "Fn::Sub", [text, variables]:
                return self._substituted(text, self._resolved(variables))
            case "Fn::Join", [separator, parts]:
                return separator.join(self._resolved(parts))
        message = f"teach this module what {function} does"
        raise NotImplementedError(message)

    def _substituted(self, text: str, variables: Mapping[str, str]) -> str:
        known = {**self.parameters, **variables}
        return re.sub(r"\$\{([\w:.]+)\}", lambda found: known.get(found[1], found[0]), text)

    def _holds(self, condition: Any) -> bool:
        if isinstance(condition, str):
            return self._holds(self.written["Conditions"][condition])
        match condition:
            case {"Condition": name}:
                return self._holds(name)
            case {"Fn::Equals": [left, right]}:
                return _text(self._resolved(left)) == _text(self._resolved(right))
            case {"Fn::Not": [inner]}:
                return not self._holds(inner)
            case {"Fn::And": inner}:
                return all(map(self._holds, inner))
            case {"Fn::Or": inner}:
                return any(map(self._holds, inner))
        message = f"teach this module how {condition} is decided"
        raise NotImplementedError(message)


def named(reference: object) -> str | None:
    """Name the resource that a text like "${Queue.Arn}" refers to; None: it is no reference."""
    found = _LOGICAL_ID.fullmatch(reference) if isinstance(reference, str) else None
    return found[1] if found else None


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
