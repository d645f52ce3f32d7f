"""Puts a template into an emulator as far as the emulator takes it.

The whole template comes first. What an emulator refuses is found by adding one resource after the
other, in the order of their references; a refused resource is left out, and others that refer to
it get a text in its place, so that they are tried all the same.
"""

import copy
import io
import itertools
import json
import time
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from tests.template.deployment import as_list
from tests.template.test_whole import references_in
from tools.aws_review.emulators import Emulator

_BUCKET: Final = "templates"
_TRIES: Final = itertools.count(1)
"""Numbers of the stacks that are only tried: a refused one can leave its name taken."""
_SECONDS: Final = 300.0
_CAPABILITIES: Final = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
_MADE: Final = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE"})


class RefusedError(Exception):
    """An emulator did not make the stack; the text is its reason."""


@dataclass(frozen=True)
class Deployed:
    """A stack in an emulator: each made resource's physical id, each refused one's reason.

    ``unknown`` are types that the emulator says it doesn't know.
    """

    stack: str
    ids: Mapping[str, str]
    refused: Mapping[str, str]
    unknown: frozenset[str]


def deploy(
    template: Mapping[str, Any], parameters: Mapping[str, str], emulator: Emulator
) -> Deployed:
    """Make a stack of an expanded template, as far as the emulator takes it."""
    put_code(emulator)
    try:
        ids = _create("act-one", template, parameters, emulator)
        return Deployed("act-one", ids, {}, emulator.unknown_types())
    except RefusedError:
        unknown = emulator.unknown_types()
    of_unknown = {n for n, r in template["Resources"].items() if r["Type"] in unknown}
    rest = without(template, of_unknown)
    refused = _refusals(rest, parameters, emulator)
    # Under another name: what was refused may have left half a stack behind.
    ids = _create("act-one-part", without(rest, refused), parameters, emulator)
    return Deployed("act-one-part", ids, refused, unknown)


def _refusals(
    template: Mapping[str, Any], parameters: Mapping[str, str], emulator: Emulator
) -> dict[str, str]:
    """Find the resources that an emulator refuses, each with its reason."""
    refused: dict[str, str] = {}
    order = in_order(template["Resources"])
    begun: list[str] = []
    step = 16
    while len(begun) < len(order):
        batch = order[len(begun) : len(begun) + step]
        try:
            _try([*begun, *batch], template, refused, parameters, emulator)
        except RefusedError as error:
            if step > 1:
                step //= 2
                continue
            refused[batch[0]] = str(error)
        begun += batch
        step = min(16, step * 2)
    return refused


def _try(
    names: Collection[str],
    template: Mapping[str, Any],
    refused: Mapping[str, str],
    parameters: Mapping[str, str],
    emulator: Emulator,
) -> None:
    """Make a stack of some resources and remove it. Raises ``RefusedError``."""
    left_out = {*template["Resources"]} - {*names} | refused.keys()
    part = without(template, left_out)
    name = f"try-{next(_TRIES)}"
    _create(name, part, parameters, emulator)
    emulator.clients("cloudformation").delete_stack(StackName=name)


def _create(
    name: str, template: Mapping[str, Any], parameters: Mapping[str, str], emulator: Emulator
) -> dict[str, str]:
    """Make a stack; returns the physical ids. Raises ``RefusedError``."""
    cloudformation, since = emulator.clients("cloudformation"), emulator.log_size()
    emulator.clients("s3").put_object(
        Bucket=_BUCKET, Key=name, Body=json.dumps(dict(template)).encode()
    )
    known = template["Parameters"]
    try:
        cloudformation.create_stack(
            StackName=name,
            TemplateURL=f"{emulator.objects_url(_BUCKET)}/{name}",
            Capabilities=_CAPABILITIES,
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value}
                for key, value in parameters.items()
                if key in known
            ],
        )
        status, reason = _wait(name, emulator)
    except (ClientError, BotoCoreError, ResponseParserError) as error:
        raise RefusedError(emulator.last_error(since) or str(error)) from error
    if status not in _MADE:
        raise RefusedError(_reason(name, emulator) or reason or status)
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
    return {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for page in pages
        for resource in page["StackResourceSummaries"]
        if resource.get("PhysicalResourceId")
    }


def _wait(name: str, emulator: Emulator) -> tuple[str, str]:
    ends_at = time.monotonic() + _SECONDS
    while True:
        [stack] = emulator.clients("cloudformation").describe_stacks(StackName=name)["Stacks"]
        status = stack["StackStatus"]
        if not status.endswith("IN_PROGRESS") or time.monotonic() > ends_at:
            return status, stack.get("StackStatusReason", "")
        time.sleep(0.1)


def _reason(name: str, emulator: Emulator) -> str:
    """Return the first failure among a stack's events."""
    events = emulator.clients("cloudformation").describe_stack_events(StackName=name)
    failures = [
        event.get("ResourceStatusReason", "")
        for event in reversed(events["StackEvents"])
        if event["ResourceStatus"].endswith("_FAILED") and event.get("ResourceStatusReason")
    ]
    return failures[0] if failures else ""


def put_code(emulator: Emulator) -> None:
    """Put a package where the expanded template has its code and layers. It is never run."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("app.py", "def handler(event, context): return None\n")
    s3 = emulator.clients("s3")
    for bucket in ("bucket", _BUCKET):
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket="bucket", Key="key", Body=packed.getvalue())


# ── Parts of a template ───────────────────────────────────────────────────────────────────────


def in_order(resources: Mapping[str, Any]) -> list[str]:
    """List resources, each after those that it refers to."""
    graph = {
        name: {other for other in references_in(resource) if other in resources}
        | {*as_list(resource.get("DependsOn", []))}
        for name, resource in resources.items()
    }
    return list(TopologicalSorter(graph).static_order())


def without(template: Mapping[str, Any], left_out: Collection[str]) -> dict[str, Any]:
    """Return a template without some resources; references to them become texts."""
    part: dict[str, Any] = copy.deepcopy(dict(template))
    part["Resources"] = {
        name: _cut(resource, left_out)
        for name, resource in part["Resources"].items()
        if name not in left_out
    }
    part["Outputs"] = {
        name: output
        for name, output in part.get("Outputs", {}).items()
        if not {*references_in(output)} & {*left_out}
    }
    for resource in part["Resources"].values():
        waits = [name for name in as_list(resource.pop("DependsOn", [])) if name not in left_out]
        if waits:
            resource["DependsOn"] = waits
    if not part["Outputs"]:
        del part["Outputs"]
    return part


def _cut(value: Any, left_out: Collection[str]) -> Any:
    match value:
        case {"Ref": str(name)} if name in left_out:
            return f"no-{name}"
        case {"Fn::GetAtt": [str(name), *_]} if name in left_out:
            return f"arn:aws:none:us-east-1:123456789012:{name}"
        case {"Fn::Sub": str(text)}:
            for name in left_out:
                text = text.replace(f"${{{name}}}", f"no-{name}").replace(
                    f"${{{name}.Arn}}", f"arn:aws:none:us-east-1:123456789012:{name}"
                )
            return {"Fn::Sub": text}
        case dict():
            return {name: _cut(member, left_out) for name, member in value.items()}
        case list():
            return [_cut(member, left_out) for member in value]
    return value
