"""Queues and the stream: nothing that arrives is lost, handled twice at once, or stuck."""

import json

from tests.template.checks import Break, check, drop, get_arn, put
from tests.template.deployment import Faults, Template, named

ALL_FUNCTIONS_OF_A_NEW_ACCOUNT = 10
LONGEST_RETENTION = 1_209_600
BATCH_REPORT = "ReportBatchItemFailures"


def mappings_of(template: Template, kind: str) -> dict[str, dict]:
    """Give the event source mappings whose source is such a resource."""
    return {
        name: mapping
        for name, mapping in template.of("Lambda::EventSourceMapping").items()
        if template.the(kind, mapping["EventSourceArn"]) is not None
    }


def counts_attempts_itself(template: Template, mapping: dict) -> bool:
    """Tell whether the code counts a message's attempts, so that receives are no failures."""
    function = template.the("Lambda::Function", mapping["FunctionName"])
    return function["Handler"] == "webhooks.app.handler"


def dead_letter_queues(template: Template) -> dict[str, str]:
    """Map what can fail to the queue that then keeps its message."""
    found = {}
    for name, queue in template.of("SQS::Queue").items():
        if "RedrivePolicy" in queue:
            found[name] = queue["RedrivePolicy"]["deadLetterTargetArn"]
    for name, rule in template.of("Events::Rule").items():
        for target in rule["Targets"]:
            found[f"{name}, {target['Id']}"] = target.get("DeadLetterConfig", {}).get("Arn")
    for name, schedule in template.of("Scheduler::Schedule").items():
        found[name] = schedule["Target"].get("DeadLetterConfig", {}).get("Arn")
    for name, config in template.of("Lambda::EventInvokeConfig").items():
        failed = config.get("DestinationConfig", {}).get("OnFailure", {})
        found[name] = failed.get("Destination")
    return found


@check(
    Break(
        "a queue of others",
        put("CopyFunctionMedia", "EventSourceArn", to="arn:aws:sqs:us-east-1:1:q"),
    ),
)
def test_every_event_source_and_its_function_are_of_this_template(template: Template) -> Faults:
    known = mappings_of(template, "SQS::Queue") | mappings_of(template, "DynamoDB::Table")
    for name, mapping in template.of("Lambda::EventSourceMapping").items():
        if name not in known:
            yield f"{name} reads {mapping['EventSourceArn']}, which these tests know nothing of"
        if template.the("Lambda::Function", mapping["FunctionName"]) is None:
            yield f"{name} has no function of this template"


# ── Queues ────────────────────────────────────────────────────────────────────────────────────


@check(
    Break("a message that comes back", put("MediaQueue", "VisibilityTimeout", to=300)),
    Break("AWS's 30 seconds", drop("MediaQueue", "VisibilityTimeout")),
)
def test_every_queue_consumer_sees_a_message_longer_than_it_may_run(template: Template) -> Faults:
    for name, mapping in mappings_of(template, "SQS::Queue").items():
        function = template.the("Lambda::Function", mapping["FunctionName"])
        queue = template.the("SQS::Queue", mapping["EventSourceArn"])
        window = mapping.get("MaximumBatchingWindowInSeconds", 0)
        if queue.get("VisibilityTimeout", 30) < function["Timeout"] + window + 30:
            yield f"{name}: a message comes back while it may still be worked on"


@check(
    Break("no dead letter queue", drop("MediaQueue", "RedrivePolicy")),
    Break("one try", put("MediaQueue", "RedrivePolicy", "maxReceiveCount", to=1)),
    Break("forgotten first", put("MediaQueue", "MessageRetentionPeriod", to=1_209_600)),
)
def test_every_consumed_queue_sets_aside_what_keeps_failing(template: Template) -> Faults:
    for name, mapping in mappings_of(template, "SQS::Queue").items():
        queue = template.the("SQS::Queue", mapping["EventSourceArn"])
        redrive = queue.get("RedrivePolicy", {})
        aside = template.the("SQS::Queue", redrive.get("deadLetterTargetArn"))
        if aside is None:
            yield f"{name} has no dead letter queue"
            continue
        if aside["MessageRetentionPeriod"] <= queue["MessageRetentionPeriod"]:
            yield f"{name}: what was set aside is gone too soon"
        most = 250 if counts_attempts_itself(template, mapping) else 10
        if not 3 <= redrive["maxReceiveCount"] <= most:
            yield f"{name} sets messages aside after {redrive['maxReceiveCount']} tries"


@check(
    Break("a batch", put("CopyFunctionMedia", "BatchSize", to=10)),
)
def test_every_queue_mapping_takes_one_message_or_reports_single_failures(
    template: Template,
) -> Faults:
    for name, mapping in mappings_of(template, "SQS::Queue").items():
        if mapping.get("BatchSize", 10) != 1 and BATCH_REPORT not in mapping.get(
            "FunctionResponseTypes", []
        ):
            yield f"{name}: one failed message repeats its whole batch"


@check(
    Break("no limit", drop("CopyFunctionMedia", "ScalingConfig")),
    Break("all of them", put("CopyFunctionMedia", "ScalingConfig", "MaximumConcurrency", to=10)),
)
def test_queues_leave_functions_for_the_api_even_in_a_new_account(template: Template) -> Faults:
    limits = {
        name: mapping.get("ScalingConfig", {}).get("MaximumConcurrency")
        for name, mapping in mappings_of(template, "SQS::Queue").items()
    }
    for name, limit in limits.items():
        if not isinstance(limit, int) or limit < 2:  # AWS takes no less
            yield f"{name} has no literal MaximumConcurrency"
    if sum(filter(None, limits.values())) >= ALL_FUNCTIONS_OF_A_NEW_ACCOUNT:
        yield f"together they may take all that a new account runs: {limits}"


@check(
    Break("two", put("CopyFunctionMedia", "BatchSize", to=2)),
)
def test_a_copy_takes_one_task_at_a_time(template: Template) -> Faults:
    copies = [
        mapping
        for mapping in mappings_of(template, "SQS::Queue").values()
        if template.the("Lambda::Function", mapping["FunctionName"])["Handler"]
        == "callback.copy.handler"
    ]
    if [mapping["BatchSize"] for mapping in copies] != [1]:
        yield "the copy's time-out is for one task"


@check(
    Break("four days", drop("UndeliveredQueue", "MessageRetentionPeriod")),
    Break("no queue for a rule", drop("MediaRule", "Targets", 0, "DeadLetterConfig")),
    Break(
        "no queue for a schedule", drop("SweeperFunctionEveryMinute", "Target", "DeadLetterConfig")
    ),
)
def test_every_dead_letter_queue_is_there_and_keeps_messages_for_two_weeks(
    template: Template,
) -> Faults:
    for name, arn in dead_letter_queues(template).items():
        queue = template.the("SQS::Queue", arn)
        if queue is None:
            yield f"{name} has no dead letter queue"
        elif queue.get("MessageRetentionPeriod") != LONGEST_RETENTION:
            yield f"{named(arn)}, with what {name} couldn't do, forgets it early"


@check(
    Break("a customer's key", put("MediaQueue", "KmsMasterKeyId", to="alias/ours")),
    Break("no encryption", put("MediaDeadLetterQueue", "SqsManagedSseEnabled", to=False)),
)
def test_every_queue_is_encrypted_with_a_key_that_eventbridge_may_use(template: Template) -> Faults:
    for name, queue in template.of("SQS::Queue").items():
        if queue.get("SqsManagedSseEnabled") is not True or "KmsMasterKeyId" in queue:
            yield f"{name} is not on SSE-SQS"


# ── The stream ────────────────────────────────────────────────────────────────────────────────


@check(
    Break("retries without end", drop("RelayFunctionMoves", "MaximumRecordAgeInSeconds")),
    Break("ten tries", put("RelayFunctionMoves", "MaximumRetryAttempts", to=10)),
    Break("no bisecting", put("RelayFunctionMoves", "BisectBatchOnFunctionError", to=False)),
    Break("no report", drop("RelayFunctionMoves", "FunctionResponseTypes")),
)
def test_a_bad_record_never_stops_a_stream(template: Template) -> Faults:
    for name, mapping in mappings_of(template, "DynamoDB::Table").items():
        if mapping.get("BisectBatchOnFunctionError") is not True:
            yield f"{name} doesn't narrow a failure down"
        if mapping.get("MaximumRetryAttempts", -1) != -1:
            yield f"{name} gives up within minutes of an outage"
        if not 3_600 <= mapping.get("MaximumRecordAgeInSeconds", -1) <= 43_200:
            yield f"{name} retries until the stream forgets, or for less than an hour"
        if BATCH_REPORT not in mapping.get("FunctionResponseTypes", []):
            yield f"{name} repeats what was published already"


@check(
    Break("no filter", drop("RelayFunctionMoves", "FilterCriteria")),
    Break("from now on", put("RelayFunctionMoves", "StartingPosition", to="LATEST")),
)
def test_a_stream_is_read_from_its_beginning_and_only_for_rows_that_are(
    template: Template,
) -> Faults:
    for name, mapping in mappings_of(template, "DynamoDB::Table").items():
        if mapping["StartingPosition"] != "TRIM_HORIZON":
            yield f"{name} misses what was written while it was being made"
        patterns = [
            json.loads(wanted["Pattern"])
            for wanted in mapping.get("FilterCriteria", {}).get("Filters", [])
        ]
        if not patterns or any("REMOVE" in p.get("eventName", ["REMOVE"]) for p in patterns):
            yield f"{name} is run for rows that are gone"


@check(
    Break("nowhere", drop("RelayFunctionMoves", "DestinationConfig")),
    Break(
        "pointers in a queue",
        put(
            "RelayFunctionMoves",
            "DestinationConfig",
            "OnFailure",
            "Destination",
            to=get_arn("UndeliveredQueue"),
        ),
    ),
    Break("rows for ever", drop("RelayFailuresBucket", "LifecycleConfiguration")),
)
def test_records_that_a_stream_gives_up_are_kept_whole(template: Template) -> Faults:
    for name, mapping in mappings_of(template, "DynamoDB::Table").items():
        failed = mapping.get("DestinationConfig", {}).get("OnFailure", {})
        bucket = template.the("S3::Bucket", failed.get("Destination"))
        if bucket is None:
            yield f"{name} keeps no records: only a bucket gets more than pointers"
            continue
        rules = bucket.get("LifecycleConfiguration", {}).get("Rules", [])
        days = [rule.get("ExpirationInDays") for rule in rules if rule["Status"] == "Enabled"]
        if len(days) != 1 or not 14 <= days[0] <= 365:
            yield f"{name} keeps copies of rows for {days or 'ever'} days"
