"""A check of the template, and the ways to break the template that show that it checks.

A break changes the expanded template before its conditions are decided.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest

from tests.template.deployment import OTHERWISE, SOURCE, Faults, Template, expanded

STATES = ("Fallback", "Definition", "States")
SUBMIT = ("Api", "Body", "paths", "/tasks", "post")
ANSWERS = ("Api", "Body", "x-amazon-apigateway-gateway-responses")
VARIABLES = ("Environment", "Variables")

type Change = Callable[[dict[str, Any]], object]


@dataclass(frozen=True)
class Break:
    """Something wrong with a template: a change to it, and the parameters with which it shows."""

    what: str
    change: Change
    parameters: Mapping[str, str] = field(default_factory=dict)

    def template(self) -> Template:
        changed = copy.deepcopy(expanded())
        self.change(changed)
        source = changed.pop("source", SOURCE.read_text())
        return Template(changed, self.parameters, source)


@cache
def deployed(*, otherwise: bool) -> Template:
    """Return the template with its defaults, or with every switch the other way round."""
    return Template(expanded(), OTHERWISE if otherwise else {}, SOURCE.read_text())


def check(*breaks: Break):
    """Turn a generator of faults into tests: the template has none, and each break has some."""
    assert breaks, "a check needs a break that it finds"

    def as_test(faults_of: Callable[[Template], Faults]):
        @pytest.mark.parametrize(
            "broken",
            [None, *breaks],
            ids=["holds", *(broken.what for broken in breaks)],
        )
        def test(broken):
            if broken is not None:
                assert [*faults_of(broken.template())], f"it does not find: {broken.what}"
                return
            for otherwise in (False, True):
                faults = [*faults_of(deployed(otherwise=otherwise))]
                assert not faults, "\n".join(faults)

        test.__name__, test.__doc__ = faults_of.__name__, faults_of.__doc__
        return test

    return as_test


# ── Ways to break a template ──────────────────────────────────────────────────────────────────


def place(template: dict, path: tuple) -> Any:
    """Follow a path from a section of the template, or from a resource's properties."""
    start = template[path[0]] if path[0] in template else template["Resources"][path[0]]
    found = start if path[0] in template else start["Properties"]
    for step in path[1:]:
        found = found[step]
    return found


def put(*path, to: object) -> Change:
    def change(template: dict) -> None:
        place(template, path[:-1])[path[-1]] = copy.deepcopy(to)

    return change


def drop(*path) -> Change:
    return lambda template: place(template, path[:-1]).pop(path[-1])


def without(resource: str) -> Change:
    return drop("Resources", resource)


def add(name: str, kind: str, **properties) -> Change:
    return put("Resources", name, to={"Type": f"AWS::{kind}", "Properties": properties})


def forbid(role: str, action: str) -> Change:
    """Take an action out of a role's policies."""

    def change(template: dict) -> None:
        taken = 0
        for policy in place(template, (role, "Policies")):
            for stated in policy["PolicyDocument"]["Statement"]:
                statement = stated["Fn::If"][1] if "Fn::If" in stated else stated
                actions = statement["Action"]
                listed = actions if isinstance(actions, list) else [actions]
                statement["Action"] = [name for name in listed if name != action]
                taken += len(listed) - len(statement["Action"])
        assert taken, f"{role} never allowed {action}"

    return change


def allow(role: str, action: str, resource: object) -> Change:
    """Add a statement to a role's first policy."""
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return lambda template: place(
        template, (role, "Policies", 0, "PolicyDocument", "Statement")
    ).append(statement)


def get_arn(resource: str) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [resource, "Arn"]}
