"""What the services say of the resources of a stack, spelled as in a template.

Each reader takes the clients, a resource's physical id and what the template says of it, and
returns the properties that it could read. What it doesn't return isn't compared.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import unquote

from botocore.exceptions import ClientError

from tools.aws_review.calls import Clients, Properties, lifecycle_rule

type Read = dict[str, Any]


def _document(value: Any) -> Any:
    """Return a policy, which some clients have parsed already."""
    return json.loads(unquote(value)) if isinstance(value, str) else value


def role(clients: Clients, name: str, _given: Properties) -> Read:
    iam = clients("iam")
    found = iam.get_role(RoleName=name)["Role"]
    policies = [
        {
            "PolicyName": policy,
            "PolicyDocument": _document(
                iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
            ),
        }
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
    ]
    return {
        "AssumeRolePolicyDocument": _document(found["AssumeRolePolicyDocument"]),
        "Policies": policies,
    }


def log_group(clients: Clients, name: str, _given: Properties) -> Read:
    found = clients("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return {"RetentionInDays": found[0].get("retentionInDays")} if found else {}


def table(clients: Clients, name: str, _given: Properties) -> Read:
    dynamodb = clients("dynamodb")
    found = dynamodb.describe_table(TableName=name)["Table"]
    ttl = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    recovery = backups.get("PointInTimeRecoveryDescription", {})
    read: Read = {
        "AttributeDefinitions": found["AttributeDefinitions"],
        "KeySchema": found["KeySchema"],
        "BillingMode": found.get("BillingModeSummary", {}).get("BillingMode"),
        "PointInTimeRecoverySpecification": {
            "PointInTimeRecoveryEnabled": recovery.get("PointInTimeRecoveryStatus") == "ENABLED"
        },
        "TimeToLiveSpecification": {
            "AttributeName": ttl.get("AttributeName"),
            "Enabled": ttl["TimeToLiveStatus"] == "ENABLED",
        },
        "GlobalSecondaryIndexes": found.get("GlobalSecondaryIndexes"),
        "StreamSpecification": found.get("StreamSpecification"),
    }
    return read


def bucket(clients: Clients, name: str, given: Properties) -> Read:
    s3 = clients("s3")
    read: Read = dict.fromkeys(given)
    with suppress(ClientError):
        found = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]
        read["BucketEncryption"] = {
            "ServerSideEncryptionConfiguration": [
                {"ServerSideEncryptionByDefault": one["ApplyServerSideEncryptionByDefault"]}
                for one in found["Rules"]
            ]
        }
    with suppress(ClientError):
        read["PublicAccessBlockConfiguration"] = s3.get_public_access_block(Bucket=name)[
            "PublicAccessBlockConfiguration"
        ]
    with suppress(ClientError):
        read["OwnershipControls"] = s3.get_bucket_ownership_controls(Bucket=name)[
            "OwnershipControls"
        ]
    with suppress(ClientError):
        read["VersioningConfiguration"] = s3.get_bucket_versioning(Bucket=name)
    with suppress(ClientError):
        found = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
        read["LifecycleConfiguration"] = {"Rules": found}
    with suppress(ClientError):
        found = s3.get_bucket_notification_configuration(Bucket=name)
        read["NotificationConfiguration"] = {
            "EventBridgeConfiguration": {"EventBridgeEnabled": "EventBridgeConfiguration" in found}
        }
    return read


def bucket_policy(clients: Clients, _name: str, given: Properties) -> Read:
    try:
        found = clients("s3").get_bucket_policy(Bucket=given["Bucket"])["Policy"]
    except ClientError:
        return {"PolicyDocument": None}
    return {"PolicyDocument": json.loads(found)}


def queue(clients: Clients, name: str, given: Properties) -> Read:
    found = clients("sqs").get_queue_attributes(QueueUrl=name, AttributeNames=["All"])
    attributes = found["Attributes"]
    return {
        member: json.loads(attributes[member])
        if member == "RedrivePolicy" and member in attributes
        else attributes.get(member)
        for member in given
    }


def queue_policy(clients: Clients, _name: str, given: Properties) -> Read:
    [url] = given["Queues"]
    found = clients("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])
    policy = found.get("Attributes", {}).get("Policy")
    return {"PolicyDocument": json.loads(policy) if policy else None}


def bus(clients: Clients, _name: str, given: Properties) -> Read:
    found = clients("events").describe_event_bus(Name=given["Name"])
    policy = found.get("Policy")
    return {"Name": found["Name"], "Policy": json.loads(policy) if policy else None}


def rule(clients: Clients, name: str, given: Properties) -> Read:
    events = clients("events")
    on = {"EventBusName": given["EventBusName"]} if "EventBusName" in given else {}
    name = name.rpartition("|")[2].rpartition("/")[2]
    found = events.describe_rule(Name=name, **on)
    return {
        "EventPattern": json.loads(found["EventPattern"]),
        "Targets": events.list_targets_by_rule(Rule=name, **on)["Targets"],
        "EventBusName": found.get("EventBusName"),
    }


def secret(clients: Clients, name: str, _given: Properties) -> Read:
    secrets = clients("secretsmanager")
    found = secrets.describe_secret(SecretId=name)
    return {"Name": found["Name"], "Description": found.get("Description")}


def function(clients: Clients, name: str, given: Properties) -> Read:
    found = clients("lambda").get_function_configuration(FunctionName=name)
    layers = [layer["Arn"] for layer in found.get("Layers", [])]
    read = {member: found.get(member) for member in given if member not in {"Code", "Tags"}}
    return {**read, "Layers": layers}


def function_url(clients: Clients, _name: str, given: Properties) -> Read:
    found = clients("lambda").get_function_url_config(FunctionName=given["TargetFunctionArn"])
    return {"AuthType": found["AuthType"]}


def event_source(clients: Clients, name: str, given: Properties) -> Read:
    found = clients("lambda").get_event_source_mapping(UUID=name)
    skipped = {"FunctionName", "StartingPosition"}
    return {member: found.get(member) for member in given if member not in skipped}


def invoke_config(clients: Clients, _name: str, given: Properties) -> Read:
    found = clients("lambda").get_function_event_invoke_config(FunctionName=given["FunctionName"])
    return {member: found.get(member) for member in given if member != "FunctionName"} | {
        "Qualifier": given.get("Qualifier")
    }


def permission(clients: Clients, _name: str, given: Properties) -> Read:
    """A statement of the function's policy that says what the template says."""
    policy = clients("lambda").get_policy(FunctionName=given["FunctionName"])["Policy"]
    wanted = {
        "Action": given["Action"],
        "Principal": given["Principal"],
        "SourceArn": given.get("SourceArn"),
        "FunctionUrlAuthType": given.get("FunctionUrlAuthType"),
        "InvokedViaFunctionUrl": given.get("InvokedViaFunctionUrl"),
    }
    best: Read = {}
    for statement in json.loads(policy)["Statement"]:
        said = json.dumps(statement.get("Condition", {}))
        principal = statement["Principal"]
        whom = principal if isinstance(principal, str) else next(iter(principal.values()))
        read = {
            "Action": statement["Action"],
            "Principal": whom,
            "SourceArn": wanted["SourceArn"] if str(wanted["SourceArn"]) in said else None,
            "FunctionUrlAuthType": "NONE" if "FunctionUrlAuthType" in said else None,
            "InvokedViaFunctionUrl": "InvokedViaFunctionUrl" in said or None,
        }
        read = {name: value for name, value in read.items() if wanted[name] is not None}
        right = sum(str(read[name]) == str(wanted[name]) for name in read)
        if right > sum(str(best.get(name)) == str(wanted[name]) for name in read):
            best = read
    return best


def schedule(clients: Clients, name: str, given: Properties) -> Read:
    found = clients("scheduler").get_schedule(Name=name.rpartition("/")[2])
    return {member: found.get(member) for member in given}


def state_machine(clients: Clients, name: str, _given: Properties) -> Read:
    found = clients("stepfunctions").describe_state_machine(stateMachineArn=name)
    definition = json.loads(found["definition"])
    logging = found.get("loggingConfiguration", {})
    return {
        "Definition": {"States": {state: {} for state in definition["States"]}},
        "RoleArn": found["roleArn"],
        "StateMachineType": found["type"],
        "LoggingConfiguration": {
            "Level": logging.get("level"),
            "IncludeExecutionData": logging.get("includeExecutionData"),
            "Destinations": [
                {
                    "CloudWatchLogsLogGroup": {
                        "LogGroupArn": one["cloudWatchLogsLogGroup"]["logGroupArn"]
                    }
                }
                for one in logging.get("destinations", [])
            ],
        },
    }


def rest_api(clients: Clients, name: str, _given: Properties) -> Read:
    """Methods and whether they need a key; the names of the gateway's own responses."""
    apigateway = clients("apigateway")
    paths: Read = {}
    pages = apigateway.get_paginator("get_resources").paginate(restApiId=name, embed=["methods"])
    for resource in (one for page in pages for one in page["items"]):
        for verb in resource.get("resourceMethods", {}):
            found = apigateway.get_method(
                restApiId=name, resourceId=resource["id"], httpMethod=verb
            )
            needed = found.get("apiKeyRequired")
            paths.setdefault(resource["path"], {})[verb.lower()] = {"needs a key": needed}
    read: Read = {"paths": paths, "gateway responses": {}}
    with suppress(ClientError):
        responses = apigateway.get_gateway_responses(restApiId=name)["items"]
        read["gateway responses"] = {
            one["responseType"]: int(one["statusCode"])
            for one in responses
            if one.get("statusCode") and not one.get("defaultResponse")
        }
    return read


def stage(clients: Clients, _name: str, given: Properties) -> Read:
    found = clients("apigateway").get_stage(
        restApiId=given["RestApiId"], stageName=given["StageName"]
    )
    settings = found.get("methodSettings", {})
    return {
        "MethodSettings": [
            {
                "ResourcePath": setting["ResourcePath"],
                "HttpMethod": setting["HttpMethod"],
                "ThrottlingRateLimit": one.get("throttlingRateLimit"),
                "ThrottlingBurstLimit": one.get("throttlingBurstLimit"),
            }
            for setting in given.get("MethodSettings", [])
            for key in [f"{setting['ResourcePath'].removeprefix('/')}/{setting['HttpMethod']}"]
            for one in [settings.get(key) or settings.get(f"/{key}") or {}]
        ]
    }


def usage_plan(clients: Clients, name: str, _given: Properties) -> Read:
    found = clients("apigateway").get_usage_plan(usagePlanId=name)
    throttle = found.get("throttle", {})
    return {
        "Throttle": {
            "RateLimit": f"{throttle.get('rateLimit', 0):g}",
            "BurstLimit": throttle.get("burstLimit"),
        }
    }


READERS: Final[Mapping[str, Callable[[Clients, str, Properties], Read]]] = {
    "ApiGateway::RestApi": rest_api,
    "ApiGateway::Stage": stage,
    "ApiGateway::UsagePlan": usage_plan,
    "DynamoDB::Table": table,
    "Events::EventBus": bus,
    "Events::Rule": rule,
    "IAM::Role": role,
    "Lambda::EventInvokeConfig": invoke_config,
    "Lambda::EventSourceMapping": event_source,
    "Lambda::Function": function,
    "Lambda::Permission": permission,
    "Lambda::Url": function_url,
    "Logs::LogGroup": log_group,
    "S3::Bucket": bucket,
    "S3::BucketPolicy": bucket_policy,
    "SQS::Queue": queue,
    "SQS::QueuePolicy": queue_policy,
    "Scheduler::Schedule": schedule,
    "SecretsManager::Secret": secret,
    "StepFunctions::StateMachine": state_machine,
}


def wanted(kind: str, given: Properties) -> Read:
    """Spell what a template says as its reader spells what it reads."""
    match kind:
        case "ApiGateway::RestApi":
            body = given["Body"]
            answers = body.get("x-amazon-apigateway-gateway-responses", {})
            return {
                "paths": {
                    path: {
                        verb: {"needs a key": bool(method.get("security"))}
                        for verb, method in methods.items()
                        if verb != "options"
                    }
                    for path, methods in body["paths"].items()
                },
                "gateway responses": {name: one["statusCode"] for name, one in answers.items()},
            }
        case "S3::Bucket" if "LifecycleConfiguration" in given:
            rules = [lifecycle_rule(rule) for rule in given["LifecycleConfiguration"]["Rules"]]
            return {**given, "LifecycleConfiguration": {"Rules": rules}}
        case "StepFunctions::StateMachine":
            states = {state: {} for state in given["Definition"]["States"]}
            return {**given, "Definition": {"States": states}}
        case "DynamoDB::Table" if "StreamSpecification" in given:
            stream = {"StreamEnabled": True, **given["StreamSpecification"]}
            return {**given, "StreamSpecification": stream}
        case "Lambda::Function":
            return {name: value for name, value in given.items() if name not in {"Code", "Tags"}}
    return dict(given)
