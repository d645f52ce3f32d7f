"""The calls of AWS that make each type of resource, as CloudFormation's handlers make them.

Each function takes the clients, a name and a resource's properties, makes it, and returns what
`Ref` and `Fn::GetAtt` give for it. The requests pass botocore's own check of their members, types
and ranges on the way, which comes from AWS's published models.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

type Clients = Callable[[str], Any]
type Properties = Mapping[str, Any]
type Made = dict[str, str]
"""What a reference gives, by attribute; "" is what `Ref` gives."""

_ZIP: Final = {"S3Bucket": "bucket", "S3Key": "key"}


def _lower_first(value: Any) -> Any:
    """Spell members as those services do whose members begin with a small letter."""
    if isinstance(value, dict):
        return {name[:1].lower() + name[1:]: _lower_first(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_lower_first(member) for member in value]
    return value


def role(clients: Clients, name: str, given: Properties) -> Made:
    iam = clients("iam")
    made = iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps(given["AssumeRolePolicyDocument"])
    )["Role"]
    for policy in given.get("Policies", []):
        document = json.dumps(policy["PolicyDocument"])
        iam.put_role_policy(RoleName=name, PolicyName=policy["PolicyName"], PolicyDocument=document)
    for arn in given.get("ManagedPolicyArns", []):
        iam.attach_role_policy(RoleName=name, PolicyArn=arn)
    return {"": name, "Arn": made["Arn"]}


def managed_policy(clients: Clients, name: str, given: Properties) -> Made:
    document = json.dumps(given["PolicyDocument"])
    made = clients("iam").create_policy(PolicyName=name, PolicyDocument=document)
    return {"": made["Policy"]["Arn"]}


def log_group(clients: Clients, name: str, given: Properties) -> Made:
    logs = clients("logs")
    logs.create_log_group(logGroupName=name)
    days = int(given["RetentionInDays"])
    logs.put_retention_policy(logGroupName=name, retentionInDays=days)
    [found] = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return {"": name, "Arn": found["arn"].removesuffix(":*") + ":*"}


def table(clients: Clients, name: str, given: Properties) -> Made:
    dynamodb = clients("dynamodb")
    members = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
    asked: dict[str, Any] = {member: given[member] for member in members if member in given}
    if "StreamSpecification" in given:
        asked["StreamSpecification"] = {"StreamEnabled": True, **given["StreamSpecification"]}
    made = dynamodb.create_table(TableName=name, **asked)["TableDescription"]
    dynamodb.update_continuous_backups(
        TableName=name,
        PointInTimeRecoverySpecification=given["PointInTimeRecoverySpecification"],
    )
    if "TimeToLiveSpecification" in given:
        dynamodb.update_time_to_live(
            TableName=name, TimeToLiveSpecification=given["TimeToLiveSpecification"]
        )
    return {"": name, "Arn": made["TableArn"], "StreamArn": made.get("LatestStreamArn", "")}


def bucket(clients: Clients, name: str, given: Properties) -> Made:
    s3 = clients("s3")
    s3.create_bucket(Bucket=name)
    encryption = [
        {
            "ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"],
        }
        for rule in given["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    ]
    s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": encryption})
    s3.put_public_access_block(
        Bucket=name, PublicAccessBlockConfiguration=given["PublicAccessBlockConfiguration"]
    )
    if "OwnershipControls" in given:
        s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls=given["OwnershipControls"])
    if "VersioningConfiguration" in given:
        s3.put_bucket_versioning(
            Bucket=name, VersioningConfiguration=given["VersioningConfiguration"]
        )
    if "LifecycleConfiguration" in given:
        rules = [lifecycle_rule(rule) for rule in given["LifecycleConfiguration"]["Rules"]]
        s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})
    if given.get("NotificationConfiguration", {}).get("EventBridgeConfiguration"):
        s3.put_bucket_notification_configuration(
            Bucket=name, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )
    if "CorsConfiguration" in given:
        rules = given["CorsConfiguration"]["CorsRules"]
        s3.put_bucket_cors(Bucket=name, CORSConfiguration={"CORSRules": rules})
    return {"": name, "Arn": f"arn:aws:s3:::{name}"}


def lifecycle_rule(rule: Properties) -> dict[str, Any]:
    """Spell a rule of a template as S3's API does."""
    asked: dict[str, Any] = {"ID": rule["Id"], "Status": rule["Status"]}
    asked["Filter"] = {"Prefix": rule.get("Prefix", "")}
    if "ExpirationInDays" in rule:
        asked["Expiration"] = {"Days": int(rule["ExpirationInDays"])}
    for member in ("NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"):
        if member in rule:
            asked[member] = rule[member]
    return asked


def bucket_policy(clients: Clients, _name: str, given: Properties) -> Made:
    clients("s3").put_bucket_policy(
        Bucket=given["Bucket"], Policy=json.dumps(given["PolicyDocument"])
    )
    return {"": f"policy of {given['Bucket']}"}


def queue(clients: Clients, name: str, given: Properties) -> Made:
    attributes = {
        member: json.dumps(value) if isinstance(value, dict) else str(value).lower()
        for member, value in given.items()
    }
    sqs = clients("sqs")
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    return {"": url, "Arn": found["QueueArn"]}


def queue_policy(clients: Clients, _name: str, given: Properties) -> Made:
    for url in given["Queues"]:
        attributes = {"Policy": json.dumps(given["PolicyDocument"])}
        clients("sqs").set_queue_attributes(QueueUrl=url, Attributes=attributes)
    return {"": "policy"}


def bus(clients: Clients, _name: str, given: Properties) -> Made:
    events = clients("events")
    made = events.create_event_bus(Name=given["Name"])
    events.put_permission(EventBusName=given["Name"], Policy=json.dumps(given["Policy"]))
    return {"": given["Name"], "Arn": made["EventBusArn"]}


def rule(clients: Clients, name: str, given: Properties) -> Made:
    events, on = clients("events"), {}
    if "EventBusName" in given:
        on = {"EventBusName": given["EventBusName"]}
    made = events.put_rule(Name=name, EventPattern=json.dumps(given["EventPattern"]), **on)
    failed = events.put_targets(Rule=name, Targets=given["Targets"], **on)
    if failed["FailedEntryCount"]:
        raise ValueError(str(failed["FailedEntries"]))
    return {"": name, "Arn": made["RuleArn"]}


def secret(clients: Clients, _name: str, given: Properties) -> Made:
    secrets, more = clients("secretsmanager"), {}
    if wanted := given.get("GenerateSecretString"):
        template = json.loads(wanted["SecretStringTemplate"])
        of_password = {
            name: value
            for name, value in wanted.items()
            if name not in {"SecretStringTemplate", "GenerateStringKey"}
        }
        password = secrets.get_random_password(**of_password)["RandomPassword"]
        more["SecretString"] = json.dumps({**template, wanted["GenerateStringKey"]: password})
    elif "SecretString" in given:
        more["SecretString"] = given["SecretString"]
    made = secrets.create_secret(Name=given["Name"], Description=given["Description"], **more)
    return {"": made["ARN"]}


def layer(clients: Clients, name: str, given: Properties) -> Made:
    asked = {member: value for member, value in given.items() if member != "LayerName"}
    made = clients("lambda").publish_layer_version(
        LayerName=given.get("LayerName", name), **{**asked, "Content": _ZIP}
    )
    return {"": made["LayerVersionArn"]}


def function(clients: Clients, name: str, given: Properties) -> Made:
    passed = {
        member: value
        for member, value in given.items()
        if member not in {"Code", "Tags", "ReservedConcurrentExecutions"}
    }
    tags = {tag["Key"]: tag["Value"] for tag in given.get("Tags", [])}
    client = clients("lambda")
    made = client.create_function(FunctionName=name, Code=_ZIP, Tags=tags, **passed)
    if "ReservedConcurrentExecutions" in given:
        client.put_function_concurrency(
            FunctionName=name,
            ReservedConcurrentExecutions=int(given["ReservedConcurrentExecutions"]),
        )
    return {"": name, "Arn": made["FunctionArn"]}


def permission(clients: Clients, name: str, given: Properties) -> Made:
    clients("lambda").add_permission(StatementId=name[-100:], **given)
    return {"": name}


def function_url(clients: Clients, _name: str, given: Properties) -> Made:
    made = clients("lambda").create_function_url_config(
        FunctionName=given["TargetFunctionArn"], AuthType=given["AuthType"]
    )
    return {"": made["FunctionArn"], "FunctionUrl": made["FunctionUrl"]}


def event_source(clients: Clients, _name: str, given: Properties) -> Made:
    made = clients("lambda").create_event_source_mapping(**given)
    return {"": made["UUID"]}


def invoke_config(clients: Clients, _name: str, given: Properties) -> Made:
    clients("lambda").put_function_event_invoke_config(**given)
    return {"": "config"}


def schedule(clients: Clients, name: str, given: Properties) -> Made:
    clients("scheduler").create_schedule(Name=name, **given)
    return {"": name}


def state_machine(clients: Clients, name: str, given: Properties) -> Made:
    definition = json.dumps(given["Definition"])
    for token, value in given["DefinitionSubstitutions"].items():
        definition = definition.replace(f"${{{token}}}", value)
    made = clients("stepfunctions").create_state_machine(
        name=name,
        definition=definition,
        roleArn=given["RoleArn"],
        type=given["StateMachineType"],
        loggingConfiguration=_lower_first(given["LoggingConfiguration"]),
        tracingConfiguration=_lower_first(given["TracingConfiguration"]),
    )
    return {"": made["stateMachineArn"]}


def rest_api(clients: Clients, _name: str, given: Properties) -> Made:
    apigateway = clients("apigateway")
    kinds = ",".join(given["EndpointConfiguration"]["Types"])
    body = {**given["Body"], "info": {"description": given["Description"], **given["Body"]["info"]}}
    made = apigateway.import_rest_api(
        body=json.dumps(body).encode(),
        parameters={"endpointConfigurationTypes": kinds},
    )
    return {"": made["id"]}


def deployment(clients: Clients, _name: str, given: Properties) -> Made:
    made = clients("apigateway").create_deployment(restApiId=given["RestApiId"])
    return {"": made["id"]}


def stage(clients: Clients, _name: str, given: Properties) -> Made:
    apigateway = clients("apigateway")
    apigateway.create_stage(
        restApiId=given["RestApiId"],
        stageName=given["StageName"],
        deploymentId=given["DeploymentId"],
        tracingEnabled=given["TracingEnabled"],
    )
    operations = [
        {
            "op": "replace",
            "path": f"{setting['ResourcePath']}/{setting['HttpMethod']}/throttling/{member}",
            "value": str(setting[f"Throttling{member[0].upper()}{member[1:]}"]),
        }
        for setting in given.get("MethodSettings", [])
        for member in ("rateLimit", "burstLimit")
    ]
    if operations:
        apigateway.update_stage(
            restApiId=given["RestApiId"],
            stageName=given["StageName"],
            patchOperations=operations,
        )
    return {"": given["StageName"]}


def api_key(clients: Clients, name: str, given: Properties) -> Made:
    made = clients("apigateway").create_api_key(
        name=name, description=given["Description"], enabled=given["Enabled"]
    )
    return {"": made["id"]}


def usage_plan(clients: Clients, name: str, given: Properties) -> Made:
    throttle = given["Throttle"]
    made = clients("apigateway").create_usage_plan(
        name=name,
        apiStages=_lower_first(given["ApiStages"]),
        throttle={
            "rateLimit": float(throttle["RateLimit"]),
            "burstLimit": int(throttle["BurstLimit"]),
        },
    )
    return {"": made["id"]}


def usage_plan_key(clients: Clients, _name: str, given: Properties) -> Made:
    made = clients("apigateway").create_usage_plan_key(**_lower_first(dict(given)))
    return {"": made["id"]}


def query(clients: Clients, _name: str, given: Properties) -> Made:
    made = clients("logs").put_query_definition(
        name=given["Name"], logGroupNames=given["LogGroupNames"], queryString=given["QueryString"]
    )
    return {"": made["queryDefinitionId"]}


def topic(clients: Clients, name: str, _given: Properties) -> Made:
    return {"": clients("sns").create_topic(Name=name)["TopicArn"]}


def subscription(clients: Clients, _name: str, given: Properties) -> Made:
    return {"": clients("sns").subscribe(**given, ReturnSubscriptionArn=True)["SubscriptionArn"]}


def topic_policy(clients: Clients, name: str, given: Properties) -> Made:
    for arn in given["Topics"]:
        clients("sns").set_topic_attributes(
            TopicArn=arn,
            AttributeName="Policy",
            AttributeValue=json.dumps(given["PolicyDocument"]),
        )
    return {"": name}


def alarm(clients: Clients, name: str, given: Properties) -> Made:
    clients("cloudwatch").put_metric_alarm(AlarmName=name, **given)
    return {"": name}


def dashboard(clients: Clients, _name: str, given: Properties) -> Made:
    clients("cloudwatch").put_dashboard(**given)
    return {"": given["DashboardName"]}


MAKERS: Final[Mapping[str, Callable[[Clients, str, Properties], Made]]] = {
    "ApiGateway::ApiKey": api_key,
    "ApiGateway::Deployment": deployment,
    "ApiGateway::RestApi": rest_api,
    "ApiGateway::Stage": stage,
    "ApiGateway::UsagePlan": usage_plan,
    "ApiGateway::UsagePlanKey": usage_plan_key,
    "CloudWatch::Alarm": alarm,
    "CloudWatch::Dashboard": dashboard,
    "DynamoDB::Table": table,
    "Events::EventBus": bus,
    "Events::Rule": rule,
    "IAM::ManagedPolicy": managed_policy,
    "IAM::Role": role,
    "Lambda::EventInvokeConfig": invoke_config,
    "Lambda::EventSourceMapping": event_source,
    "Lambda::Function": function,
    "Lambda::LayerVersion": layer,
    "Lambda::Permission": permission,
    "Lambda::Url": function_url,
    "Logs::LogGroup": log_group,
    "Logs::QueryDefinition": query,
    "S3::Bucket": bucket,
    "S3::BucketPolicy": bucket_policy,
    "SNS::Subscription": subscription,
    "SNS::Topic": topic,
    "SNS::TopicPolicy": topic_policy,
    "SQS::Queue": queue,
    "SQS::QueuePolicy": queue_policy,
    "Scheduler::Schedule": schedule,
    "SecretsManager::Secret": secret,
    "StepFunctions::StateMachine": state_machine,
}
