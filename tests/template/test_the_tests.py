"""Each check is seen to fail: a deployment that is broken in one place is found out.

A break changes the expanded template before its conditions are decided.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.template import (
    test_api,
    test_data,
    test_event_sources,
    test_events_and_schedules,
    test_functions,
    test_permissions,
    test_state_machine,
    test_timing,
    test_whole,
)
from tests.template.deployment import OTHERWISE, SOURCE, Template, expanded
from tests.template.test_permissions import SECRET_ARN

MODULES = (
    test_api,
    test_data,
    test_event_sources,
    test_events_and_schedules,
    test_functions,
    test_permissions,
    test_state_machine,
    test_timing,
    test_whole,
)
CHECKS = {
    name: member
    for module in MODULES
    for name, member in vars(module).items()
    if hasattr(member, "faults")
}

type Change = Callable[[dict[str, Any]], object]


@dataclass(frozen=True)
class Break:
    """Something wrong with a template, and the check that has to say so."""

    what: str
    change: Change
    parameters: dict[str, str] = field(default_factory=dict)


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
            for statement in policy["PolicyDocument"]["Statement"]:
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


def arn(resource: str) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [resource, "Arn"]}


STATES = ("Fallback", "Definition", "States")
SUBMIT = ("Api", "Body", "paths", "/tasks", "post")
ANSWERS = ("Api", "Body", "x-amazon-apigateway-gateway-responses")
VARIABLES = ("Environment", "Variables")

# ── What is broken, under the check that has to find it ───────────────────────────────────────

BREAKS: dict[Callable, list[Break]] = {
    # The API
    test_api.test_every_method_requires_an_api_key: [
        Break("a method without a key", put(*SUBMIT, "security", to=[])),
        Break("a key in the query", put(
            "Api", "Body", "components", "securitySchemes", "api_key", "in", to="query")),
    ],
    test_api.test_every_method_may_invoke_its_function_and_only_by_that_path: [
        Break("no permission", without("SubmitFunctionPostTaskPermissionv1")),
        Break("a permission for all paths", put(
            "SubmitFunctionPostTaskPermissionv1", "SourceArn", "Fn::Sub", 0,
            to="arn:aws:execute-api:${AWS::Region}:${AWS::AccountId}:${__ApiId__}/*")),
        Break("a permission for nothing", put(
            "SubmitFunctionPostTaskPermissionv1", "Action", to="lambda:GetFunction")),
        Break("a permission for another function", put(
            "TasksFunctionGetTaskPermissionv1", "FunctionName", to={"Ref": "SubmitFunction"})),
    ],
    test_api.test_every_route_in_code_is_a_method_and_the_other_way_round: [
        Break("a method without a route", put(
            "Api", "Body", "paths", "/tasks/{task_id}", "delete",
            to={"x-amazon-apigateway-integration": {
                "uri": {"Fn::Sub": "x/functions/${TasksFunction.Arn}/invocations"}}})),
    ],
    test_api.test_every_api_is_regional_and_has_only_the_stage_that_we_named: [
        Break("an edge-optimised API", drop("Api", "EndpointConfiguration")),
        Break("SAM's second stage", add(
            "ApiStage", "ApiGateway::Stage", RestApiId={"Ref": "Api"}, StageName="Stage")),
    ],
    test_api.test_every_stage_is_in_a_usage_plan_that_throttles: [
        Break("a plan for another stage", put("UsagePlan", "ApiStages", 0, "Stage", to="v2")),
        Break("a plan without a limit", drop("UsagePlan", "Throttle")),
        Break("a plan before its stage", drop("Resources", "UsagePlan", "DependsOn")),
    ],
    test_api.test_every_api_key_is_in_a_usage_plan: [
        Break("a key without a plan", without("UsagePlanKey")),
        Break("a known key", put("ApiKey", "Value", to="correct-horse-battery-staple")),
    ],
    test_api.test_what_api_gateway_answers_itself_is_a_problem_document: [
        Break("AWS's own text", drop(*ANSWERS, "THROTTLED")),
        Break("no content type", drop(*ANSWERS, "DEFAULT_5XX", "responseParameters")),
        Break("half a document", put(
            *ANSWERS, "DEFAULT_4XX", "responseTemplates", "application/json", to='{"type":')),
        Break("a message that ends early", put(
            *ANSWERS, "DEFAULT_4XX", "responseTemplates", "application/json",
            to='{"type":"","title":"","detail":"$context.error.message","code":""}')),
        Break("two statuses", put(*ANSWERS, "QUOTA_EXCEEDED", "statusCode", to="403")),
    ],
    test_api.test_a_function_url_is_open_to_all_and_so_are_both_permissions_for_it: [
        Break("only one permission", without("CallbackInvokePermission")),
        Break("not the other one", drop("CallbackUrlPermission", "FunctionUrlAuthType")),
        Break("a URL that wants a signature", put("CallbackUrl", "AuthType", to="AWS_IAM")),
    ],
    test_api.test_only_the_callback_is_public: [
        Break("everybody may invoke", drop("CallbackInvokePermission", "InvokedViaFunctionUrl")),
        Break("a second URL", add(
            "Url", "Lambda::Url", TargetFunctionArn=arn("CopyFunction"), AuthType="NONE")),
        Break("any API of anybody", drop("TasksFunctionGetTaskPermissionv1", "SourceArn")),
    ],
    # Data and secrets
    test_data.test_data_outlives_the_stack_but_not_a_deployment_that_failed: [
        Break("a table that goes", drop("Resources", "TasksTable", "DeletionPolicy")),
        Break("a replaced bucket", put(
            "Resources", "ResultsBucket", "UpdateReplacePolicy", to="Delete")),
        Break("a named table", put(
            "TasksTable", "TableName", to={"Fn::Sub": "${AWS::StackName}-tasks"})),
    ],
    test_data.test_nothing_has_a_name_that_a_second_stack_would_want: [
        Break("a named queue", put("MediaQueue", "QueueName", to="media")),
        Break("a named role", put(
            "CopyRole", "RoleName", to={"Fn::Sub": "${AWS::StackName}-copy"})),
    ],
    test_data.test_every_table_is_on_demand_and_can_be_restored_to_any_moment: [
        Break("no way back", drop("TasksTable", "PointInTimeRecoverySpecification")),
        Break("capacity that costs", put("TasksTable", "BillingMode", to="PROVISIONED")),
    ],
    test_data.test_the_tasks_table_is_what_its_code_takes_it_for: [
        Break("another index", put(
            "TasksTable", "GlobalSecondaryIndexes", 0, "IndexName", to="overdue")),
        Break("an index of whole rows", put(
            "TasksTable", "GlobalSecondaryIndexes", 1, "Projection", "ProjectionType", to="ALL")),
        Break("half a stream", put(
            "TasksTable", "StreamSpecification", "StreamViewType", to="NEW_IMAGE")),
        Break("no expiry", drop("TasksTable", "TimeToLiveSpecification")),
    ],
    test_data.test_every_bucket_is_private_and_encrypted: [
        Break("a public bucket", put(
            "ResultsBucket", "PublicAccessBlockConfiguration", "BlockPublicPolicy", to=False)),
        Break("a bucket in the clear", drop("RelayFailuresBucket", "BucketEncryption")),
    ],
    test_data.test_every_bucket_refuses_plain_http_unless_the_stack_is_local: [
        Break("no policy", without("ResultsBucketPolicy")),
        Break("a policy for the bucket alone", put(
            "RelayFailuresBucketPolicy", "PolicyDocument", "Statement", 0, "Resource",
            to=arn("RelayFailuresBucket"))),
        Break("plain writes", put(
            "ResultsBucketPolicy", "PolicyDocument", "Statement", 0, "Action",
            to=["s3:GetObject", "s3:DeleteObject", "s3:ListBucket"])),
        Break("TLS on a laptop", drop("Resources", "ResultsBucketPolicy", "Condition"), OTHERWISE),
    ],
    test_data.test_inputs_go_after_the_days_that_the_parameter_says_their_old_versions_too: [
        Break("inputs for ever", drop("UploadsBucket", "LifecycleConfiguration")),
        Break("old versions for ever", drop(
            "UploadsBucket", "LifecycleConfiguration", "Rules", 0, "NoncurrentVersionExpiration")),
        Break("no versions", drop("UploadsBucket", "VersioningConfiguration")),
    ],
    test_data.test_nobody_but_a_distribution_that_was_named_is_let_in_by_a_bucket: [
        Break("any distribution", put(
            "UploadsBucketPolicy", "PolicyDocument", "Statement", 1, "Fn::If", 1, "Condition",
            to={}), {"InputDistributionArn": "arn:aws:cloudfront::123456789012:distribution/E1"}),
    ],
    test_data.test_only_ingest_may_put_where_files_start_tasks: [
        Break("another", allow("TasksRole", "s3:PutObject", {
            "Fn::Sub": "${UploadsBucket.Arn}/incoming/*"})),
    ],
    test_data.test_results_expire_only_if_that_is_asked_for_and_nothing_else_does: [
        Break("results that go", put(
            "ResultsBucket", "LifecycleConfiguration",
            to={"Rules": [{"Status": "Enabled", "ExpirationInDays": 30}]})),
        Break("results that stay", drop("ResultsBucket", "LifecycleConfiguration"), OTHERWISE),
    ],
    test_data.test_every_secret_is_named_after_the_stack: [
        Break("a fixed name", put("ProviderSecret", "Name", to="provider")),
        Break("no name", drop("CallbackSecret", "Name")),
    ],
    test_data.test_what_makes_a_secret_never_changes: [
        Break("another secret", put(
            "WebhookSecret", "GenerateSecretString", "SecretStringTemplate", to='{"a":1}')),
        Break("a longer secret", put(
            "CallbackSecret", "GenerateSecretString", "PasswordLength", to=64)),
    ],
    test_data.test_the_provider_secret_has_no_value_until_there_is_a_key: [
        Break("an empty key", put("ProviderSecret", "SecretString", to="")),
        Break("a lost key", drop("ProviderSecret", "SecretString"), OTHERWISE),
    ],
    test_data.test_a_hidden_parameter_goes_into_a_secret_and_nowhere_else: [
        Break("a key on show", drop("Parameters", "ProviderApiKey", "NoEcho")),
        Break("a key in an output", put(
            "Outputs", "EventBus", "Value", to={"Fn::Sub": "${ProviderApiKey}"})),
        Break("a default key", put("Parameters", "ProviderApiKey", "Default", to="sk-1")),
    ],
    # Queues and the stream
    test_event_sources.test_every_event_source_and_its_function_are_of_this_template: [
        Break("a queue of others", put(
            "CopyFunctionMedia", "EventSourceArn", to="arn:aws:sqs:us-east-1:1:q")),
    ],
    test_event_sources.test_every_queue_consumer_sees_a_message_longer_than_it_may_run: [
        Break("a message that comes back", put("MediaQueue", "VisibilityTimeout", to=300)),
        Break("AWS's 30 seconds", drop("MediaQueue", "VisibilityTimeout")),
    ],
    test_event_sources.test_every_consumed_queue_sets_aside_what_keeps_failing: [
        Break("no dead letter queue", drop("MediaQueue", "RedrivePolicy")),
        Break("one try", put("MediaQueue", "RedrivePolicy", "maxReceiveCount", to=1)),
        Break("forgotten first", put("MediaQueue", "MessageRetentionPeriod", to=1_209_600)),
    ],
    test_event_sources.test_every_queue_mapping_takes_one_message_or_reports_single_failures: [
        Break("a batch", put("CopyFunctionMedia", "BatchSize", to=10)),
    ],
    test_event_sources.test_queues_leave_functions_for_the_api_even_in_a_new_account: [
        Break("no limit", drop("CopyFunctionMedia", "ScalingConfig")),
        Break("all of them", put(
            "CopyFunctionMedia", "ScalingConfig", "MaximumConcurrency", to=10)),
    ],
    test_event_sources.test_a_copy_takes_one_task_at_a_time: [
        Break("two", put("CopyFunctionMedia", "BatchSize", to=2)),
    ],
    test_event_sources.test_every_dead_letter_queue_is_there_and_keeps_messages_for_two_weeks: [
        Break("four days", drop("UndeliveredQueue", "MessageRetentionPeriod")),
        Break("no queue for a rule", drop("MediaRule", "Targets", 0, "DeadLetterConfig")),
        Break("no queue for a schedule", drop(
            "SweeperFunctionEveryMinute", "Target", "DeadLetterConfig")),
    ],
    test_event_sources.test_every_queue_is_encrypted_with_a_key_that_eventbridge_may_use: [
        Break("a customer's key", put("MediaQueue", "KmsMasterKeyId", to="alias/ours")),
        Break("no encryption", put("MediaDeadLetterQueue", "SqsManagedSseEnabled", to=False)),
    ],
    test_event_sources.test_a_bad_record_never_stops_a_stream: [
        Break("retries without end", drop("RelayFunctionMoves", "MaximumRetryAttempts")),
        Break("no bisecting", put(
            "RelayFunctionMoves", "BisectBatchOnFunctionError", to=False)),
        Break("no report", drop("RelayFunctionMoves", "FunctionResponseTypes")),
    ],
    test_event_sources.test_a_stream_is_read_from_its_beginning_and_only_for_rows_that_are: [
        Break("no filter", drop("RelayFunctionMoves", "FilterCriteria")),
        Break("from now on", put("RelayFunctionMoves", "StartingPosition", to="LATEST")),
    ],
    test_event_sources.test_records_that_a_stream_gives_up_are_kept_whole: [
        Break("nowhere", drop("RelayFunctionMoves", "DestinationConfig")),
        Break("pointers in a queue", put(
            "RelayFunctionMoves", "DestinationConfig", "OnFailure", "Destination",
            to=arn("UndeliveredQueue"))),
        Break("rows for ever", drop("RelayFailuresBucket", "LifecycleConfiguration")),
    ],
    # Rules and schedules
    test_events_and_schedules.test_every_rule_may_deliver_to_its_targets: [
        Break("no policy", without("MediaQueuePolicy")),
        Break("another rule's policy", put(
            "MediaQueuePolicy", "PolicyDocument", "Statement", 0, "Condition", "ArnEquals",
            "aws:SourceArn", to=arn("OtherRule"))),
        Break("a policy on another queue", put(
            "MediaQueuePolicy", "Queues", 0, to={"Ref": "MediaDeadLetterQueue"})),
        Break("a function that wasn't told", put(
            "MediaRule", "Targets", 0, "Arn", to=arn("CopyFunction"))),
    ],
    test_events_and_schedules.test_what_a_rule_cannot_deliver_is_kept: [
        Break("no queue", drop("MediaRule", "Targets", 0, "DeadLetterConfig")),
        Break("a queue that doesn't take it", without("UndeliveredQueuePolicy")),
    ],
    test_events_and_schedules.test_every_rule_on_our_bus_waits_for_events_that_are_sent: [
        Break("a misspelt event", put(
            "MediaRule", "EventPattern", "detail-type", to=["Task Stored"])),
        Break("the account's bus", drop("MediaRule", "EventBusName")),
    ],
    test_events_and_schedules.test_every_result_to_be_stored_reaches_the_copy: [
        Break("a misspelt source", put("MediaRule", "EventPattern", "source", to=["act_one"])),
        Break("no target", put("MediaRule", "Targets", to=[])),
        Break("an idle function", without("CopyFunctionMedia")),
    ],
    test_events_and_schedules.test_every_event_that_a_webhook_asks_for_reaches_it_and_no_other: [
        Break("a misspelt event", put(
            "WebhookRule", "EventPattern", "$or", 4, "detail", "webhook", "events",
            to=["task.success"])),
        Break("another's event", put(
            "WebhookRule", "EventPattern", "$or", 4, "detail-type", to=["Task Failed"])),
        Break("every event", put("WebhookRule", "EventPattern", to={"source": ["act-one"]})),
        Break("an idle function", without("WebhooksFunctionWebhooks")),
        Break("an idle queue", put("WebhookRule", "Targets", 0, "Arn", to=arn("MediaQueue"))),
    ],
    test_events_and_schedules.test_every_way_in_reaches_ingest_and_our_own_files_never_do: [
        Break("our own files", put(
            "UploadsRule", "EventPattern", "detail", "object", "key", 0, "anything-but",
            "wildcard", to=["uploads/*", "*/problem.json"])),
        Break("a silent bucket", drop("UploadsBucket", "NotificationConfiguration")),
        Break("no rule", without("UploadsRule")),
        Break("no requests", without("RequestsRule")),
        Break("half of the ends", put(
            "ResultsRule", "EventPattern", "detail-type", to=["Task Succeeded"])),
    ],
    test_events_and_schedules.test_no_queue_takes_messages_from_just_anybody: [
        Break("any rule of anybody", drop(
            "MediaQueuePolicy", "PolicyDocument", "Statement", 0, "Condition")),
    ],
    test_events_and_schedules.test_every_schedule_may_invoke_its_function_and_nothing_else: [
        Break("not its failures", forbid("SweeperFunctionEveryMinuteRole", "sqs:SendMessage")),
        Break("another function", allow(
            "SweeperFunctionEveryMinuteRole", "lambda:InvokeFunction", arn("CopyFunction"))),
    ],
    test_events_and_schedules.test_a_schedule_never_tries_a_run_again_that_the_next_one_replaces: [
        Break("185 tries in a day", drop("SweeperFunctionEveryMinute", "Target", "RetryPolicy")),
        Break("two more of Lambda's", put(
            "SweeperFunctionEventInvokeConfig", "MaximumRetryAttempts", to=2)),
    ],
    test_events_and_schedules.test_two_stacks_in_one_account_have_a_schedule_each: [
        Break("SAM's name", put(
            "SweeperFunctionEveryMinute", "Name", to="SweeperFunctionEveryMinute")),
    ],
    test_events_and_schedules
    .test_every_function_that_is_called_asynchronously_says_where_failures_go: [
        Break("nowhere", drop("SweeperFunctionEventInvokeConfig", "DestinationConfig")),
        Break("no config", without("SweeperFunctionEventInvokeConfig")),
    ],
    # Functions
    test_functions.test_every_function_says_how_it_runs: [
        Break("another Python", put("CopyFunction", "Runtime", to="python3.12")),
        Break("another processor", put("CopyFunction", "Architectures", to=["x86_64"])),
        Break("no layers", drop("RelayFunction", "Layers")),
        Break("no memory", drop("RelayFunction", "MemorySize")),
        Break("no time-out", drop("RelayFunction", "Timeout")),
    ],
    test_functions.test_no_function_reserves_what_a_new_account_cannot_spare: [
        Break("five", put("CallbackFunction", "ReservedConcurrentExecutions", to=5)),
    ],
    test_functions.test_every_layer_is_for_both_architectures: [
        Break("for one", add("Layer", "Lambda::LayerVersion",
            CompatibleArchitectures=["arm64"], CompatibleRuntimes=["python3.13"])),
    ],
    test_functions.test_every_handler_is_there: [
        Break("a misspelt handler", put("CopyFunction", "Handler", to="callback.copy.handle")),
    ],
    test_functions.test_every_function_logs_to_a_group_of_its_own_that_forgets: [
        Break("Lambda's own group", drop("CopyFunction", "LoggingConfig")),
        Break("another's group", put(
            "CopyFunction", "LoggingConfig", "LogGroup", to={"Ref": "RelayLogs"})),
        Break("paid START lines", drop("CopyFunction", "LoggingConfig", "SystemLogLevel")),
    ],
    test_functions.test_every_log_group_forgets_after_the_days_that_the_parameter_says: [
        Break("for ever", drop("CopyLogs", "RetentionInDays")),
    ],
    test_functions.test_every_function_is_given_settings_that_can_be_read: [
        Break("no table", drop("CopyFunction", *VARIABLES, "TASKS_TABLE")),
        Break("no number", put("CopyFunction", *VARIABLES, "MIN_POLL_SECONDS", to="five")),
    ],
    test_functions.test_every_function_names_its_logs_and_metrics: [
        Break("no namespace", drop("SubmitFunction", *VARIABLES, "POWERTOOLS_METRICS_NAMESPACE")),
    ],
    test_functions.test_no_function_is_given_a_variable_that_nobody_reads: [
        Break("a misspelt one", put("CopyFunction", *VARIABLES, "MEDIA_BYTES", to="1")),
    ],
    test_functions.test_every_function_is_given_the_optional_settings_that_its_code_reads: [
        Break("no callback URL", drop("FallbackFunction", *VARIABLES, "CALLBACK_BASE_URL")),
        Break("no state machine", drop("SweeperFunction", *VARIABLES, "FALLBACK_ARN")),
    ],
    test_functions.test_no_environment_holds_a_secret: [
        Break("the key", put(
            "SubmitFunction", *VARIABLES, "RUNWAY_VERSION", to={"Ref": "ProviderApiKey"})),
        Break("not a secret's name", put(
            "SubmitFunction", *VARIABLES, "PROVIDER_SECRET", to="sk-1234")),
    ],
    test_functions.test_every_function_that_spools_media_has_the_room: [
        Break("512 MB", drop("CopyFunction", "EphemeralStorage")),
    ],
    # Permissions
    test_permissions.test_every_function_may_do_what_its_code_does: [
        Break("no write", forbid("SubmitRole", "dynamodb:UpdateItem")),
        Break("no link", forbid("TasksRole", "s3:GetObject")),
        Break("no search", forbid("SweeperRole", "dynamodb:Query")),
        Break("no execution", forbid("SweeperRole", "states:StartExecution")),
        Break("no event", forbid("RelayRole", "events:PutEvents")),
        Break("no second webhook", forbid("TasksRole", "sqs:SendMessage")),
        Break("no pause", forbid("WebhooksRole", "sqs:ChangeMessageVisibility")),
        Break("a table for its index", put(
            "CallbackRole", "Policies", 0, "PolicyDocument", "Statement", 1, "Resource",
            to=arn("TasksTable"))),
        Break("one secret of two", drop(
            "CallbackRole", "Policies", 0, "PolicyDocument", "Statement", 2, "Resource", 0)),
    ],
    test_permissions.test_no_function_may_do_more_than_it_does: [
        Break("a delete", allow("SubmitRole", "dynamodb:DeleteItem", arn("TasksTable"))),
        Break("another read", allow("RelayRole", "dynamodb:GetItem", arn("TasksTable"))),
        Break("a whole bucket", allow(
            "CopyRole", "s3:GetObject", {"Fn::Sub": "${ResultsBucket.Arn}/*"})),
        Break("the other index", allow(
            "SweeperRole", "dynamodb:Query", {"Fn::Sub": "${TasksTable.Arn}/index/provider-task"})),
        Break("a key that a copy never needs", allow(
            "CopyRole", "secretsmanager:GetSecretValue",
            {"Fn::Sub": f"{SECRET_ARN}${{AWS::StackName}}/provider-??????"})),
        Break("log groups", allow("CopyRole", "logs:CreateLogGroup", "*")),
        Break("another's queue", allow("CallbackRole", "sqs:SendMessage", arn("MediaQueue"))),
        Break("webhooks of its own", allow(
            "WebhooksRole", "sqs:SendMessage", arn("WebhookQueue"))),
    ],
    test_permissions
    .test_every_event_source_can_be_read_by_its_function_and_every_failure_be_kept: [
        Break("no visibility", forbid("CopyRole", "sqs:ChangeMessageVisibility")),
        Break("no messages", forbid("CopyRole", "sqs:ReceiveMessage")),
        Break("no records", forbid("RelayRole", "dynamodb:GetRecords")),
        Break("no streams", forbid("RelayRole", "dynamodb:ListStreams")),
        Break("no failed records", forbid("RelayRole", "s3:PutObject")),
        Break("no look at their bucket", forbid("RelayRole", "s3:ListBucket")),
        Break("no failed run", forbid("SweeperRole", "sqs:SendMessage")),
        Break("no logs", forbid("TasksRole", "logs:PutLogEvents")),
    ],
    test_permissions.test_every_role_belongs_to_one_resource_of_the_service_that_it_trusts: [
        Break("a shared role", put("TasksFunction", "Role", to=arn("SubmitRole"))),
        Break("anybody's role", put(
            "CopyRole", "AssumeRolePolicyDocument", "Statement", 0, "Principal",
            to={"Service": ["lambda.amazonaws.com", "ec2.amazonaws.com"]})),
    ],
    test_permissions.test_a_role_says_everything_inside_itself: [
        Break("AWS's policy", put("CopyRole", "ManagedPolicyArns", to=[
            "arn:aws:iam::aws:policy/service-role/AWSLambdaSQSQueueExecutionRole"])),
        Break("one that comes later", add("Later", "IAM::Policy", Roles=[{"Ref": "CopyRole"}])),
    ],
    test_permissions.test_no_action_is_a_pattern: [
        Break("everything in S3", allow("CopyRole", "s3:*", arn("ResultsBucket"))),
        Break("everything", allow("CopyRole", "*", arn("ResultsBucket"))),
        Break("all that begins so", allow("CopyRole", "s3:Get*", arn("ResultsBucket"))),
        Break("whatever a queue can do", put(
            "MediaQueuePolicy", "PolicyDocument", "Statement", 0, "Action", to="sqs:*")),
    ],
    test_permissions.test_every_permission_is_on_a_resource_of_this_stack: [
        Break("every table", allow("CopyRole", "dynamodb:UpdateItem", "*")),
        Break("another's bucket", allow("CopyRole", "s3:PutObject", "arn:aws:s3:::theirs/*")),
        Break("every index and more", allow(
            "CopyRole", "dynamodb:Query", {"Fn::Sub": "${TasksTable.Arn}*/index"})),
    ],
    test_permissions.test_a_permission_on_everything_says_why: [
        Break("no reason", lambda template: template.update(
            source='Statement:\n  - Action: sqs:ListQueues\n    Resource: "*"\n')),
    ],
    test_permissions.test_a_secret_is_readable_by_its_whole_name: [
        Break("longer names too", put(
            "SubmitRole", "Policies", 0, "PolicyDocument", "Statement", 1, "Resource",
            to={"Fn::Sub": f"{SECRET_ARN}${{AWS::StackName}}/provider-*"})),
    ],
    test_permissions.test_whoever_traces_may_send_traces_and_nobody_else: [
        Break("no policy", drop("CopyRole", "ManagedPolicyArns"), OTHERWISE),
        Break("no sampling", put(
            "TracingPolicy", "PolicyDocument", "Statement", 0, "Action",
            to=["xray:PutTraceSegments", "xray:PutTelemetryRecords"]), OTHERWISE),
        Break("always", put("CopyFunction", "TracingConfig", "Mode", to="Active")),
        Break("in the API", put("Apiv1Stage", "TracingEnabled", to=True)),
    ],
    # The state machine
    test_state_machine.test_every_state_leads_to_a_state_that_is: [
        Break("a dangling next", put(*STATES, "Wait", "Next", to="Advanced")),
        Break("a dangling choice", put(
            *STATES, "AnythingToWaitFor", "Choices", 0, "Next", to="Waits")),
        Break("a dangling catch", put(*STATES, "Advance", "Catch", 0, "Next", to="Nowhere")),
        Break("no default", drop(*STATES, "AnythingToWaitFor", "Default")),
        Break("no start", put("Fallback", "Definition", "StartAt", to="Begin")),
        Break("no next", drop(*STATES, "Wait", "Next")),
        Break("no time to wait", drop(*STATES, "Wait", "Seconds")),
    ],
    test_state_machine.test_every_state_is_reached: [
        Break("a state beside", put(*STATES, "Beside", to={"Type": "Succeed"})),
    ],
    test_state_machine.test_an_end_is_reached_from_every_state: [
        Break("a loop", put(*STATES, "Loop", to={"Type": "Pass", "Next": "Loop"})),
    ],
    test_state_machine.test_every_substitution_is_given_and_used: [
        Break("not given", drop("Fallback", "DefinitionSubstitutions", "FallbackFunctionArn")),
        Break("not used", put("Fallback", "DefinitionSubstitutions", "Other", to="1")),
    ],
    test_state_machine.test_a_state_machine_and_its_function_mean_the_same_fields: [
        Break("no task", drop(*STATES, "Advance", "Arguments")),
        Break("another name", put(*STATES, "Advance", "Arguments", to={
            "id": "{% $states.input.task_id %}"})),
        Break("a text", put(*STATES, "Advance", "Arguments", "task_id", to="task_id")),
        Break("another question", put(
            *STATES, "Wait", "Seconds", to="{% $states.input.seconds %}")),
    ],
    test_state_machine.test_every_state_machine_runs_for_as_long_as_a_task: [
        Break("five minutes", put("Fallback", "StateMachineType", to="EXPRESS")),
    ],
    test_state_machine.test_expressions_are_jsonata: [
        Break("the other language", drop("Fallback", "Definition", "QueryLanguage")),
        Break("half of it", put(*STATES, "Wait", "OutputPath", to="$")),
    ],
    test_state_machine.test_every_task_state_retries_what_aws_drops_and_catches_the_rest: [
        Break("no retry", drop(*STATES, "Advance", "Retry")),
        Break("no catch", drop(*STATES, "Advance", "Catch")),
    ],
    test_state_machine.test_every_task_state_outwaits_its_function: [
        Break("too early", put(*STATES, "Advance", "TimeoutSeconds", to=45)),
        Break("after 99999999 s", drop(*STATES, "Advance", "TimeoutSeconds")),
    ],
    test_state_machine.test_a_state_machine_may_run_its_functions_deliver_its_logs_and_no_more: [
        Break("no function", forbid("FallbackStateMachineRole", "lambda:InvokeFunction")),
        Break("no logs", forbid("FallbackStateMachineRole", "logs:PutResourcePolicy")),
        Break("another function", allow(
            "FallbackStateMachineRole", "lambda:InvokeFunction", arn("CopyFunction"))),
    ],
    test_state_machine
    .test_a_state_machine_logs_failures_but_no_data_to_a_group_that_never_fills_a_policy: [
        Break("nowhere", put("Fallback", "LoggingConfiguration", "Destinations", to=[])),
        Break("another group", drop("FallbackStateMachineLogs", "LogGroupName")),
        Break("tasks in logs", put(
            "Fallback", "LoggingConfiguration", "IncludeExecutionData", to=True)),
    ],
    # Times
    test_timing.test_every_function_behind_the_api_answers_before_api_gateway_gives_up: [
        Break("nobody listens", put("SubmitFunction", "Timeout", to=30)),
    ],
    test_timing.test_every_sender_has_the_time_to_write_down_what_it_paid_for: [
        Break("not enough", put("SubmitFunction", "Timeout", to=15)),
    ],
    test_timing.test_a_sender_is_gone_before_its_task_is_taken_for_lost: [
        Break("still sending", put("FallbackFunction", "Timeout", to=60)),
    ],
    test_timing.test_every_look_at_the_feed_ends_before_its_function: [
        Break("cut off", put("CallbackFunction", "Timeout", to=5)),
    ],
    test_timing.test_the_copy_knows_its_own_timeout_and_its_lease_outlives_it: [
        Break("another time", put("CopyFunction", "Timeout", to=600)),
        Break("told otherwise", put(
            "CopyFunction", *VARIABLES, "COPY_TIMEOUT_SECONDS", to="200")),
    ],
    test_timing.test_a_webhook_that_is_begun_is_ended: [
        Break("cut off", put("WebhooksFunction", "Timeout", to=30)),
    ],
    test_timing.test_a_webhook_is_tried_to_the_end_of_its_schedule: [
        Break("seven receives", put(
            "WebhookQueue", "RedrivePolicy", "maxReceiveCount", to=7)),
        Break("a day", put("WebhookQueue", "MessageRetentionPeriod", to=86_400)),
    ],
    test_timing.test_every_schedule_is_slower_than_its_function: [
        Break("on top of each other", put("SweeperFunction", "Timeout", to=60)),
    ],
    test_timing.test_a_sweep_stops_by_itself: [
        Break("cut off", put("SweeperFunction", "Timeout", to=40)),
    ],
    test_timing.test_an_execution_has_its_first_look_before_it_counts_as_lost: [
        Break("two at once", put(*STATES, "Advance", "TimeoutSeconds", to=120)),
    ],
    test_timing.test_by_default_most_tasks_end_before_the_fallback_starts: [
        Break("one for each", put("Parameters", "CallbackGraceSeconds", "Default", to=300)),
        Break("after the deadline", put("Parameters", "TaskTimeoutSeconds", "Default", to=900)),
    ],
    test_timing.test_every_deadline_leaves_time_for_results_that_come_late: [
        Break("a day", put("Parameters", "TaskTimeoutSeconds", "MaxValue", to=86_400)),
    ],
    test_timing.test_by_default_an_execution_is_far_from_its_longest_history: [
        Break("43,200 looks", put("Parameters", "PollIntervalSeconds", "Default", to=1)),
        Break("no minimum", put("Parameters", "MinPollSeconds", "Default", to=1)),
        Break("a long minimum", put("Parameters", "MinPollSeconds", "Default", to=60)),
    ],
    # The whole
    test_whole.test_everything_that_is_referred_to_is_there: [
        Break("no such output", put("Outputs", "EventBus", "Value", to={"Ref": "EventBuss"})),
        Break("no such resource", put("CopyFunction", *VARIABLES, "X", to=arn("Nothing"))),
        Break("no such name in a text", put(
            "CopyFunction", *VARIABLES, "X", to={"Fn::Sub": "${Nothing}/x"})),
        Break("no such condition", put(
            "Resources", "CopyLogs", "Condition", to="CopiesAreLogged")),
        Break("nothing to wait for", put("Resources", "ApiKey", "DependsOn", to="ApiStage")),
    ],
    test_whole.test_nothing_that_is_deployed_refers_to_what_is_not: [
        Break("an untraced policy", put(
            "CopyRole", "ManagedPolicyArns", to=[{"Ref": "TracingPolicy"}])),
    ],
    test_whole.test_no_resource_waits_for_itself: [
        Break("in its environment", put(
            "CallbackFunction", *VARIABLES, "CALLBACK_BASE_URL",
            to={"Fn::GetAtt": ["CallbackUrl", "FunctionUrl"]})),
        Break("by DependsOn", put(
            "Resources", "TasksTable", "DependsOn", to=["RelayFunctionMoves"])),
    ],
    test_whole.test_no_stack_changes_what_belongs_to_the_whole_account: [
        Break("everybody's logs", add("Account", "ApiGateway::Account")),
        Break("logs of a stage", put("Apiv1Stage", "AccessLogSetting", to={"Format": "x"})),
    ],
    test_whole.test_every_promised_parameter_is_there: [
        Break("a renamed one", drop("Parameters", "MinPollSeconds")),
    ],
    test_whole.test_every_parameter_is_used_described_and_bounded: [
        Break("a useless one", put(
            "Parameters", "More", to={"Type": "String", "Default": "", "Description": "More."})),
        Break("a dumb one", drop("Parameters", "MinPollSeconds", "Description")),
        Break("any number", drop("Parameters", "MinPollSeconds", "MinValue")),
        Break("any text", drop("Parameters", "RunwayVersion", "AllowedPattern")),
    ],
    test_whole.test_a_stack_can_be_deployed_without_saying_anything: [
        Break("a question", drop("Parameters", "ProviderBaseUrl", "Default")),
    ],
    test_whole.test_what_costs_extra_is_off_by_default: [
        Break("traces", put("Parameters", "Tracing", "Default", to="Active")),
    ],
    test_whole.test_results_are_kept_by_default: [
        Break("a month", put("Parameters", "ResultRetentionDays", "Default", to=30)),
    ],
    test_whole.test_what_only_a_local_stack_may_do_is_off_by_default: [
        Break("private addresses", put(
            "Parameters", "UnsafeAllowPrivateMedia", "Default", to="true")),
        Break("a key in the open", put(
            "Parameters", "ProviderBaseUrl", "Default", to="http://api.cometapi.com")),
    ],
    test_whole.test_every_parameter_is_shown_in_one_group: [
        Break("a hidden one", put(
            "Metadata", "AWS::CloudFormation::Interface", "ParameterGroups", 0, "Parameters",
            to=["ProviderApiKey"])),
    ],
    test_whole.test_every_output_that_people_need_is_there_and_described: [
        Break("no address", drop("Outputs", "ApiUrl")),
        Break("another address", put("Outputs", "EventBus", "Value", to={"Ref": "TasksTable"})),
        Break("no words", drop("Outputs", "CallbackUrl", "Description")),
        Break("a name to hold on to", put("Outputs", "EventBus", "Export", to={"Name": "bus"})),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("check", "broken"),
    [
        pytest.param(check, broken, id=f"{check.__name__.removeprefix('test_')}: {broken.what}")
        for check, breaks in BREAKS.items()
        for broken in breaks
    ],
)
def test_a_check_finds(check, broken):
    template = copy.deepcopy(expanded())
    broken.change(template)
    source = template.pop("source", SOURCE.read_text())

    assert [*check.faults(Template(template, broken.parameters, source))]


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_is_seen_to_fail(name):
    assert name in {check.__name__ for check in BREAKS}
