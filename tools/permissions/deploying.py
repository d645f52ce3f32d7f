"""What deploying the template needs, by the types of its resources.

The registry of CloudFormation says which actions a type's handlers call to create, read, update,
tag and delete a resource, for all of the type's properties together. Of those, what belongs to
properties that the template doesn't use is left out here; what is left is narrowed to the stack's
resources where IAM can do that. Both the registry's schemas and IAM's actions come with cfn-lint.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Final

from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from local.expand import REGION

HANDLERS: Final = ("create", "read", "update", "delete")

FEATURES: Final = (  # type, actions, the property that needs them (none of ours: "")
    ("AWS::ApiGateway::RestApi", "apigateway:UpdateRestApiPolicy", "Policy"),
    ("AWS::ApiGateway::RestApi", "iam:PassRole", ""),  # of integrations that assume a role
    ("AWS::ApiGateway::RestApi", "s3:GetObject", "BodyS3Location"),
    (
        "AWS::DynamoDB::Table",
        r"dynamodb:(\w+KinesisStreamingDestination)",
        "KinesisStreamSpecification",
    ),
    ("AWS::DynamoDB::Table", "kinesis:.*", "KinesisStreamSpecification"),
    ("AWS::DynamoDB::Table", r"dynamodb:\w+Replica|iam:CreateServiceLinkedRole", "Replicas"),
    ("AWS::DynamoDB::Table", r"dynamodb:(BatchWrite|Delete|Get|Put|Update)Item", "Replicas"),
    ("AWS::DynamoDB::Table", r"dynamodb:(Query|Scan)", "Replicas"),
    ("AWS::DynamoDB::Table", r"dynamodb:(ImportTable|DescribeImport)", "ImportSourceSpecification"),
    ("AWS::DynamoDB::Table", "(s3|logs):.*", "ImportSourceSpecification"),
    ("AWS::DynamoDB::Table", "dynamodb:(Put|Delete)ResourcePolicy", "ResourcePolicy"),
    (
        "AWS::DynamoDB::Table",
        "dynamodb:UpdateContributorInsights",
        "ContributorInsightsSpecification",
    ),
    ("AWS::DynamoDB::Table", "kms:.*", "SSESpecification"),
    ("AWS::Events::EventBus", "kms:.*", "KmsKeyIdentifier"),
    ("AWS::Events::Rule", "iam:PassRole", "RoleArn"),
    ("AWS::IAM::ManagedPolicy", "iam:(At|De)tachGroupPolicy", "Groups"),
    ("AWS::IAM::ManagedPolicy", "iam:(At|De)tachUserPolicy", "Users"),
    ("AWS::Lambda::EventSourceMapping", "kms:.*", "KmsKeyArn"),
    ("AWS::Lambda::Function", "(elasticfilesystem|s3files):.*", "FileSystemConfigs"),
    ("AWS::Lambda::Function", "ec2:.*", "VpcConfig"),
    ("AWS::Lambda::Function", "kms:.*", "KmsKeyArn"),
    (
        "AWS::Lambda::Function",
        "lambda:(Put|Delete)FunctionCodeSigningConfig",
        "CodeSigningConfigArn",
    ),
    ("AWS::Lambda::Function", "lambda:GetCodeSigningConfig", "CodeSigningConfigArn"),
    ("AWS::Lambda::Function", "lambda:PassCapacityProvider", "CapacityProviderConfig"),
    ("AWS::Lambda::Function", "lambda:PutFunctionScalingConfig", "FunctionScalingConfig"),
    ("AWS::Lambda::Function", "lambda:PutRuntimeManagementConfig", "RuntimeManagementConfig"),
    ("AWS::Lambda::Function", "lambda:PutFunctionRecursionConfig", "RecursiveLoop"),
    ("AWS::Lambda::Function", "lambda:PublishVersion", "PublishToLatestPublished"),
    ("AWS::Lambda::Function", r"lambda:\w+FunctionConcurrency", "ReservedConcurrentExecutions"),
    ("AWS::Logs::LogGroup", r"logs:(Put|Delete)DataProtectionPolicy", "DataProtectionPolicy"),
    ("AWS::Logs::LogGroup", "(firehose|s3):.*|logs:CreateLogDelivery", "DataProtectionPolicy"),
    ("AWS::Logs::LogGroup", r"logs:(Put|Delete)IndexPolicy", "FieldIndexPolicies"),
    ("AWS::Logs::LogGroup", r"logs:(Put|Delete)ResourcePolicy", "ResourcePolicyDocument"),
    (
        "AWS::Logs::LogGroup",
        "logs:PutBearerTokenAuthentication",
        "BearerTokenAuthenticationEnabled",
    ),
    ("AWS::Logs::LogGroup", "logs:PutLogGroupDeletionProtection", "DeletionProtectionEnabled"),
    ("AWS::Logs::LogGroup", r"logs:(Dis)?[Aa]ssociateKmsKey", "KmsKeyId"),
    ("AWS::S3::Bucket", "s3tables:.*|s3:.*Metadata.*TableConfiguration", "MetadataConfiguration"),
    ("AWS::S3::Bucket", "iam:PassRole|s3:PutReplicationConfiguration", "ReplicationConfiguration"),
    ("AWS::S3::Bucket", "s3:PutAccelerateConfiguration", "AccelerateConfiguration"),
    ("AWS::S3::Bucket", "s3:PutAnalyticsConfiguration", "AnalyticsConfigurations"),
    ("AWS::S3::Bucket", "s3:PutBucketAbac", "AbacStatus"),
    ("AWS::S3::Bucket", "s3:PutBucketAcl|s3:PutObjectAcl", "AccessControl"),
    ("AWS::S3::Bucket", "s3:PutBucketCORS", "CorsConfiguration"),
    ("AWS::S3::Bucket", "s3:PutBucketLogging", "LoggingConfiguration"),
    ("AWS::S3::Bucket", "s3:PutBucketObjectLockConfiguration", "ObjectLockConfiguration"),
    ("AWS::S3::Bucket", "s3:(Put|Delete)BucketWebsite", "WebsiteConfiguration"),
    (
        "AWS::S3::Bucket",
        "s3:PutIntelligentTieringConfiguration",
        "IntelligentTieringConfigurations",
    ),
    ("AWS::S3::Bucket", "s3:PutInventoryConfiguration", "InventoryConfigurations"),
    ("AWS::S3::Bucket", "s3:PutMetricsConfiguration", "MetricsConfigurations"),
    ("AWS::S3::Bucket", "s3:DeleteObject", ""),  # no handler empties a bucket of ours
    ("AWS::SecretsManager::Secret", r"secretsmanager:(Replicate|Remove)\w+", "ReplicaRegions"),
    ("AWS::SNS::Subscription", "iam:.*", "SubscriptionRoleArn"),
    ("AWS::SNS::Topic", "iam:.*", "DeliveryStatusLogging"),
    ("AWS::SNS::Topic", "sns:(Uns|S)ubscribe", "Subscription"),
    ("AWS::SNS::Topic", "sns:PutDataProtectionPolicy", "DataProtectionPolicy"),
    ("AWS::StepFunctions::StateMachine", "kms:.*", "EncryptionConfiguration"),
    ("AWS::WAFv2::WebACLAssociation", r"(?!wafv2:|apigateway:).*", ""),  # other services' resources
    ("AWS::WAFv2::WebACLAssociation", r"wafv2:\w+PermissionPolicy", ""),  # of shared rule groups
)
"""Actions that are needed for a property only, and left out where no resource has it."""

ADDED: Final = (  # what the registry doesn't name
    ("AWS::SecretsManager::Secret", "kms:Decrypt", "KmsKeyId"),
    ("AWS::SecretsManager::Secret", "kms:GenerateDataKey", "KmsKeyId"),
)

LAYERS: Final = ("ActOneLayer", "DependenciesLayer", "DocsLayer")
KEY: Final = "KEY"
"""Stands for the parameter of the key; a statement about it is there only with the parameter."""
PLACES: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {  # of IAM's kinds of resources
    ("apigateway", "apikey"): ("apigateway:${AWS::Region}::/apikeys/*",),
    ("apigateway", "apikeys"): ("apigateway:${AWS::Region}::/apikeys",),
    ("apigateway", "restapi"): ("apigateway:${AWS::Region}::/restapis/*",),
    ("apigateway", "restapis"): ("apigateway:${AWS::Region}::/restapis",),
    ("apigateway", "stage"): ("apigateway:${AWS::Region}::/restapis/*/stages/*",),
    ("apigateway", "tags"): ("apigateway:${AWS::Region}::/tags/*",),
    ("apigateway", "usageplan"): ("apigateway:${AWS::Region}::/usageplans/*",),
    ("apigateway", "usageplans"): ("apigateway:${AWS::Region}::/usageplans",),
    ("cloudwatch", "alarm"): ("cloudwatch:HERE:alarm:${StackName}-*",),
    ("cloudwatch", "dashboard"): (
        "cloudwatch::${AWS::AccountId}:dashboard/${StackName}-${AWS::Region}",
    ),
    ("dynamodb", "table"): ("dynamodb:HERE:table/${StackName}-*",),
    ("events", "event-bus"): ("events:HERE:event-bus/${StackName}",),
    ("events", "rule-on-custom-event-bus"): ("events:HERE:rule/${StackName}/${StackName}-*",),
    ("events", "rule-on-default-event-bus"): ("events:HERE:rule/${StackName}-*",),
    ("iam", "policy"): ("iam::${AWS::AccountId}:policy/${StackName}-*",),
    ("iam", "role"): ("iam::${AWS::AccountId}:role/${StackName}-*",),
    ("kms", "key"): (KEY,),
    ("lambda", "eventsourcemapping"): ("lambda:HERE:event-source-mapping:*",),
    ("lambda", "function"): ("lambda:HERE:function:${StackName}-*",),
    # SAM names a layer after its logical id.
    ("lambda", "layer"): tuple(f"lambda:HERE:layer:{name}" for name in LAYERS),
    ("lambda", "layerversion"): tuple(f"lambda:HERE:layer:{name}:*" for name in LAYERS),
    ("logs", "log-group"): (
        "logs:HERE:log-group:${StackName}-*",
        "logs:HERE:log-group:/aws/vendedlogs/states/${StackName}-*",
    ),
    ("s3", "bucket"): ("s3:::${StackName}-*",),
    ("s3", "object"): ("s3:::${ArtifactsBucket}/*",),
    ("scheduler", "schedule"): ("scheduler:HERE:schedule/default/${StackName}-*",),
    ("secretsmanager", "secret"): ("secretsmanager:HERE:secret:${StackName}/*",),
    ("sns", "topic"): ("sns:HERE:${StackName}-*",),
    ("sqs", "queue"): ("sqs:HERE:${StackName}-*",),
    # CloudFormation doesn't begin the name of a state machine with the stack's.
    ("states", "statemachine"): ("states:HERE:stateMachine:Fallback-*",),
    ("wafv2", "apigateway"): ("apigateway:${AWS::Region}::/restapis/*/stages/*",),
    ("wafv2", "webacl"): ("wafv2:HERE:regional/webacl/*",),
}
PASSED_TO: Final = {
    "AWS::Lambda::Function": "lambda.amazonaws.com",
    "AWS::Scheduler::Schedule": "scheduler.amazonaws.com",
    "AWS::StepFunctions::StateMachine": "states.amazonaws.com",
}
"""The services that the stack's roles are passed to."""


class UnknownPlaceError(Exception):
    """An action is about a kind of resource that has no place yet; the message says which."""


@dataclass(slots=True)
class Needs:
    """What deploying needs: the places of each action, and the types that need it."""

    places: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """``*``: IAM has nothing narrower for the action."""
    types: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


def needs_of(template: Mapping[str, Any]) -> Needs:
    """Return what deploying an expanded template needs. Raises ``UnknownPlaceError``."""
    needs = Needs()
    used: dict[str, set[str]] = defaultdict(set)
    for resource in template["Resources"].values():
        used[resource["Type"]] |= {*_members(resource.get("Properties", {}))}
    for kind, properties in used.items():
        for action in sorted(_actions_of(kind, properties)):
            places = _places_of(action, kind)
            if places is not None:
                needs.places[action] |= places
                needs.types[action].add(kind)
    return needs


def _members(value: object) -> Iterator[str]:
    """List the names of properties, those inside of others too."""
    if isinstance(value, list):
        for item in value:
            yield from _members(item)
    elif isinstance(value, dict):
        for name, member in value.items():
            yield name
            yield from _members(member)


def _actions_of(kind: str, properties: Iterable[str]) -> set[str]:
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, kind).schema
    handlers = schema.get("handlers", {})
    named = {a for one in HANDLERS for a in handlers.get(one, {}).get("permissions", ())}
    named |= {*(schema.get("tagging") or {}).get("permissions", ())}
    unused = [a for of, a, needed_by in FEATURES if of == kind and needed_by not in properties]
    added = {a for of, a, needed_by in ADDED if of == kind and needed_by in properties}
    return {a for a in named if not any(re.fullmatch(one, a) for one in unused)} | added


def _places_of(action: str, kind: str) -> set[str] | None:
    """Return where an action is needed; None for what IAM doesn't know by that name."""
    service, _, name = action.partition(":")
    known = _iam().get(service, {}).get("Actions", {}).get(name.lower())
    if known is None:
        return None
    about = known.get("Resources", [])
    about = [about] if isinstance(about, str) else about
    if service == "apigateway" and kind.startswith("AWS::ApiGateway::"):
        part = {"ApiKey": "apikey", "UsagePlan": "usageplan", "UsagePlanKey": "usageplan"}
        name = part.get(kind.rpartition("::")[2], "restapi")
        return {p for one in (name, f"{name}s", "tags") for p in PLACES[service, one]}
    found = {p for one in about for p in PLACES.get((service, one.lower()), ())}
    if about and not found:
        message = f"say in tools/permissions/deploying.py, PLACES, what {action} is about: {about}"
        raise UnknownPlaceError(message)
    return found or {"*"}


@cache
def _iam() -> dict[str, Any]:
    written = files("cfnlint.data.AdditionalSpecs") / "Policies.json"
    actions: dict[str, Any] = json.loads(written.read_text())
    return actions
