"""Writes the role with which CloudFormation deploys the stack, as a template of its own."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from tools.permissions.deploying import KEY, PASSED_TO, Needs

BOUNDED: Final = (  # what IAM can tie to a boundary
    "iam:AttachRolePolicy",
    "iam:CreateRole",
    "iam:DeleteRolePolicy",
    "iam:DetachRolePolicy",
    "iam:PutRolePermissionsBoundary",
    "iam:PutRolePolicy",
)
UNBOUND: Final = "iam:DeleteRolePermissionsBoundary"
ATTACHED: Final = ("iam:AttachRolePolicy", "iam:DetachRolePolicy")
MAPPED: Final = (
    "lambda:CreateEventSourceMapping",
    "lambda:DeleteEventSourceMapping",
    "lambda:UpdateEventSourceMapping",
)
WATCHING: Final = ("cloudwatch", "sns")
"""Services whose rights are a policy of their own: all inline policies of a role have 10,240
characters."""
USES_KEY: Final = ("dynamodb", "lambda", "secretsmanager")

_APART: Final = {*BOUNDED, UNBOUND, *MAPPED, "iam:PassRole"}
_HEAD: Final = """\
AWSTemplateFormatVersion: "2010-09-09"
Description: >-
  A role for CloudFormation with the rights that deploying an Act-One stack needs
  (docs/permissions.md). Written by python -m tools.permissions.

Parameters:
  StackName:
    Type: String
    Default: act-one
    AllowedPattern: ^[a-z][a-z0-9-]*$
    MaxLength: 20
    Description: >-
      Name of the Act-One stack. CloudFormation begins the names of buckets with it, in lower case,
      and shortens longer ones.
  ArtifactsBucket:
    Type: String
    Default: aws-sam-cli-managed-default-samclisourcebucket-*
    AllowedPattern: ^[a-z0-9.*-]{3,63}$
    Description: Bucket to which `sam deploy` uploads. The default is the one that SAM makes.
  KmsKeyArn:
    Type: String
    Default: ""
    AllowedPattern: ^(arn:[^:\\s]+:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)?$
    Description: The stack's parameter of the same name. Empty allows the use of no key.
  PermissionsBoundaryArn:
    Type: String
    Default: ""
    AllowedPattern: ^(arn:[^:\\s]+:iam::([0-9]{12}|aws):policy/[^\\s]+)?$
    Description: >-
      The stack's parameter of the same name. With it, no role can be made or changed that doesn't
      have this boundary; without it, who deploys can give roles of the stack any permission.

Conditions:
  HasKey: !Not [!Equals [!Ref KmsKeyArn, ""]]
  Bounded: !Not [!Equals [!Ref PermissionsBoundaryArn, ""]]

Resources:
  DeployRole:
    Type: AWS::IAM::Role
    Properties:
      Description: !Sub Deploys the stack ${StackName}
      ManagedPolicyArns: [!Ref WatchingPolicy]
      AssumeRolePolicyDocument:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Principal: { Service: cloudformation.amazonaws.com }
            Action: sts:AssumeRole
      Policies:
        - PolicyName: deploy
          PolicyDocument:
            Version: "2012-10-17"
            Statement:
"""
_WATCHING: Final = """\

  WatchingPolicy: # more than fits into the role's own policy
    Type: AWS::IAM::ManagedPolicy
    Properties:
      Description: !Sub Deploys the alarms and the dashboard of the stack ${StackName}
      PolicyDocument:
        Version: "2012-10-17"
        Statement:
"""
_FOOT: Final = """\

Outputs:
  DeployRoleArn:
    Description: For `sam deploy --role-arn`
    Value: !GetAtt DeployRole.Arn
"""
_TRANSFORM: Final = "cloudformation:${AWS::Region}:aws:transform/Serverless-2016-10-31"


def render_role(needs: Needs) -> str:
    """Write the template of the role."""
    role = "".join(f"{line}\n" for line in _statements(needs))
    watching = "".join(
        f"{line}\n"
        for places, actions in _grouped(needs, WATCHING)
        for line in _statement(actions, places)
    )
    return _HEAD + role + _WATCHING + watching + _FOOT


def _grouped(
    needs: Needs, services: Collection[str]
) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """List the places, with the actions needed there, of the services."""
    grouped: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for action, places in needs.places.items():
        if action.partition(":")[0] in services and action not in _APART:
            grouped[tuple(sorted(places))].append(action)
    yield from sorted(grouped.items())


def _statements(needs: Needs) -> Iterator[str]:
    services = {action.partition(":")[0] for action in needs.places} - {*WATCHING}
    yield "              # SAM's transform, which CloudFormation runs with this role"
    yield from _statement(["cloudformation:CreateChangeSet"], [_TRANSFORM])
    for places, actions in _grouped(needs, services):
        if places == (KEY,):
            via = [f'!Sub "{one}.${{AWS::Region}}.${{AWS::URLSuffix}}"' for one in USES_KEY]
            condition = ["StringEquals:", "  kms:ViaService:", *(f"    - {one}" for one in via)]
            yield from _only_if("HasKey", _statement(actions, places, condition))
        else:
            yield from _statement(actions, places)
    functions = (
        "!Sub arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:${StackName}-*"
    )
    yield "              # A mapping has no name: the function that it calls decides."
    yield from _statement(
        [one for one in MAPPED if one in needs.places],
        ["*"],
        ["ArnLike:", f"  lambda:FunctionArn: {functions}"],
        why="mappings of this stack's functions",
    )
    roles = sorted(needs.places["iam:PassRole"])
    passed = sorted({PASSED_TO[kind] for kind in needs.types["iam:PassRole"]})
    yield from _statement(
        ["iam:PassRole"], roles, ["StringEquals:", f"  iam:PassedToService: [{', '.join(passed)}]"]
    )
    own = "!Sub arn:${AWS::Partition}:iam::${AWS::AccountId}:policy/${StackName}-*"
    yield "              # Only the stack's own policies are attached"
    yield from _statement(ATTACHED, roles, [*_boundary(), "ArnLike:", f"  iam:PolicyARN: {own}"])
    yield from _statement([one for one in BOUNDED if one not in ATTACHED], roles, _boundary())
    yield "              - !If"
    yield "                - Bounded"
    yield "                - !Ref AWS::NoValue"
    yield from ("  " + line for line in _statement([UNBOUND], roles))


def _boundary() -> list[str]:
    return [
        "StringEquals: !If",
        "  - Bounded",
        "  - iam:PermissionsBoundary: !Ref PermissionsBoundaryArn",
        "  - !Ref AWS::NoValue",
    ]


def _only_if(condition: str, statement: Iterable[str]) -> Iterator[str]:
    yield "              - !If"
    yield f"                - {condition}"
    yield from ("  " + line for line in statement)
    yield "                - !Ref AWS::NoValue"


def _statement(
    actions: Iterable[str],
    places: Iterable[str],
    condition: Iterable[str] = (),
    why: str = "IAM has no narrower resource for these",
) -> Iterator[str]:
    indent = "              "
    yield f"{indent}- Effect: Allow"
    yield f"{indent}  Action:"
    yield from (f"{indent}    - {action}" for action in sorted(actions))
    yield f"{indent}  Resource:"
    for place in places:
        if place == "*":
            yield f'{indent}    - "*" # {why}'
        elif place == KEY:
            yield f"{indent}    - !Ref KmsKeyArn"
        else:
            here = place.replace("HERE", "${AWS::Region}:${AWS::AccountId}")
            yield f"{indent}    - !Sub arn:${{AWS::Partition}}:{here}"
    if condition := [*condition]:
        yield f"{indent}  Condition:"
        yield from (f"{indent}    {line}" for line in condition)
