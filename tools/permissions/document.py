"""Writes docs/permissions.md: what each role may do, and what deploying needs."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from tools.permissions.deploying import KEY, Needs
from tools.permissions.reasons import reason_of
from tools.permissions.role import MAPPED
from tools.permissions.statements import Statement, roles_in, statements_of, words_of

SHARED: Final = "AWS::IAM::ManagedPolicy"

_HEAD: Final = """\
# Permissions

Written by `python -m tools.permissions` from `template.yaml`; a test compares the two. `STACK` is
the stack's name. A column says with which [parameter](parameters.md) a permission is there; empty:
always.

## What each role may do

Tests compare these permissions with what the code calls and what AWS does for a function, both
ways: none is missing and none is unused. No role may do anything with other roles, functions or
keys.
"""
_DEPLOYING: Final = """\
## Deploying

[`docs/snippets/deploy-role.yaml`](snippets/deploy-role.yaml) is a stack with one role for
CloudFormation, which may do what is listed here and nothing else. An administrator of IAM deploys
it once. If you have no permissions boundary, leave out `PermissionsBoundaryArn` in both commands:

```sh
aws cloudformation deploy --stack-name deploy-act-one --capabilities CAPABILITY_IAM \\
  --template-file docs/snippets/deploy-role.yaml \\
  --parameter-overrides StackName=act-one \\
  PermissionsBoundaryArn=arn:aws:iam::111122223333:policy/boundary
sam deploy --role-arn "$(aws cloudformation describe-stacks --stack-name deploy-act-one \\
  --query 'Stacks[0].Outputs[0].OutputValue' --output text)" \\
  --parameter-overrides PermissionsBoundaryArn=arn:aws:iam::111122223333:policy/boundary
```

The user who runs `sam deploy` then needs `iam:PassRole` on that role, CloudFormation's actions on
the stack and on SAM's transform, and `s3:PutObject` on the bucket that SAM uploads to; `sam deploy`
makes that bucket once, in a stack of its own (`aws-sam-cli-managed-default`), without this role.

- **Its own stack has another name,** one that doesn't begin with the stack's: otherwise the role
  could change itself.
- **Give it the boundary.** A role that writes roles can write any permission into them. With
  `PermissionsBoundaryArn`, here and for the stack, it makes and changes no role without that
  boundary, and can't take it off. Without it, the role is as powerful as the account allows.
- **A stack keeps its role:** CloudFormation uses it for every later change and for the deletion,
  and it can't be taken off again.
- The list follows the registry of CloudFormation, which names what the handlers of a type of
  resource call, for all of the type's properties. What belongs to properties that this template
  doesn't use is left out. Names begin with the stack's; where IAM or a service has none to go by,
  it is narrowed less: all REST APIs, API keys and usage plans of the region, all web ACLs, state
  machines whose name begins with `Fallback-`.
- Reading a secret is in it, because CloudFormation reads secrets that it updates.
- **Not tried.** The emulator takes the role and ignores it: with one that may do nothing, a stack
  is made all the same. On AWS, a first deployment with this role may show an action that the
  registry doesn't name: the event of the failed resource names it.
"""


def render(template: Mapping[str, Any], needs: Needs) -> str:
    """Write the page. Raises ``NoReasonError`` for a permission without a reason."""
    return "\n".join([_HEAD, *_roles(template), _DEPLOYING, *_deploying(needs), ""])


def _roles(template: Mapping[str, Any]) -> Iterator[str]:
    shared = [n for n, one in template["Resources"].items() if one["Type"] == SHARED]
    for name in roles_in(template):
        holder, description = _holder(name, template)
        yield f"### {holder}\n"
        yield f"{description}\n" if description else ""
        yield from _table(statements_of(name, template))
        attached = _attached(template["Resources"][name]["Properties"])
        if attached:
            links = " and ".join(f"[{one}](#{one.lower()}) {when}" for one, when in attached)
            yield f"It also has {links}.\n"
    for name in shared:
        yield f"### {name}\n"
        yield f"{template['Resources'][name]['Properties']['Description']}.\n"
        yield from _table(statements_of(name, template))


def _holder(role: str, template: Mapping[str, Any]) -> tuple[str, str]:
    for name, resource in template["Resources"].items():
        written = resource.get("Properties", {})
        places = (
            written.get("Role"),
            written.get("RoleArn"),
            written.get("Target", {}).get("RoleArn"),
        )
        if {"Fn::GetAtt": [role, "Arn"]} in places:
            kind = resource["Type"].rpartition("::")[2]
            described = written.get("Description", "")
            return f"{name} ({kind.lower()})" if kind != "Function" else name, (
                f"{described}." if described else ""
            )
    return role, ""


def _attached(properties: Mapping[str, Any]) -> list[tuple[str, str]]:
    arns = properties.get("ManagedPolicyArns", [])
    if isinstance(arns, dict):  # the whole list depends on one condition
        condition, [policy], _ = arns["Fn::If"]
        return [(policy["Ref"], words_of(condition))]
    return [(one["Fn::If"][1]["Ref"], words_of(one["Fn::If"][0])) for one in arns]


def _table(statements: Iterable[Statement]) -> Iterator[str]:
    yield "| may | on | for | with |"
    yield "|---|---|---|---|"
    for one in statements:
        may = ("" if one.allows else "**not** ") + _code(one.actions)
        where = _code(one.resources) + (f", if {' and '.join(one.only_if)}" if one.only_if else "")
        yield f"| {may} | {where} | {reason_of(one)} | {one.when.removeprefix('with ')} |"
    yield ""


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _deploying(needs: Needs) -> Iterator[str]:
    by_type: dict[str, set[str]] = defaultdict(set)
    for action, kinds in needs.types.items():
        for kind in kinds:
            by_type[kind].add(action)
    yield "| type | needs |"
    yield "|---|---|"
    for kind in sorted(by_type):
        yield f"| {kind.removeprefix('AWS::')} | {_grouped(by_type[kind])} |"
    yield ""
    everywhere = sorted(action for action, places in needs.places.items() if "*" in places)
    everywhere = [action for action in everywhere if action not in MAPPED]
    with_key = sorted(action for action, places in needs.places.items() if KEY in places)
    yield f"On everything, because IAM has nothing narrower: {_grouped(everywhere)}."
    yield f"Only for the stack's functions: {_grouped(MAPPED)}."
    yield f"Only with `KmsKeyArn`, on that key: {_grouped(with_key)}."


def _grouped(actions: Iterable[str]) -> str:
    """Write `service:A, B` for actions, in order."""
    by_service: dict[str, list[str]] = defaultdict(list)
    for action in sorted(actions):
        service, _, name = action.partition(":")
        by_service[service].append(name)
    return "; ".join(f"`{service}:` {', '.join(names)}" for service, names in by_service.items())
