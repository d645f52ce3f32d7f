"""Rules, schedules and asynchronous calls: what AWS hands over arrives, or is kept."""

from act_one.ingest import folders
from act_one.inputs.bucket import OUTGOING, UPLOADS
from act_one.tasks.events import DETAIL_TYPES, END_DETAIL_TYPES, ERASED, SOURCE, WEBHOOK_EVENTS
from act_one.tasks.task import Stage
from tests.template.checks import Break, allow, check, drop, forbid, get_arn, put, without
from tests.template.deployment import Faults, Template, as_list, named

EVENTBRIDGE = "events.amazonaws.com"


def queue_takes_from(template: Template, queue: str, rule: str) -> bool:
    """Tell whether a queue's policy lets EventBridge send for that rule, and only for it."""
    for policy in template.of("SQS::QueuePolicy").values():
        if f"${{{named(queue)}}}" not in policy["Queues"]:
            continue
        for statement in policy["PolicyDocument"]["Statement"]:
            conditions = statement.get("Condition", {})
            arns = [
                arn
                for operator in ("ArnEquals", "ArnLike", "StringEquals")
                for arn in as_list(conditions.get(operator, {}).get("aws:SourceArn", []))
            ]
            if (
                statement["Effect"] == "Allow"
                and statement["Principal"] == {"Service": EVENTBRIDGE}
                and "sqs:SendMessage" in as_list(statement["Action"])
                and queue in as_list(statement["Resource"])
                and f"${{{rule}.Arn}}" in arns
            ):
                return True
    return False


def targets_of(template: Template) -> list[tuple[str, dict]]:
    return [
        (n, target) for n, rule in template.of("Events::Rule").items() for target in rule["Targets"]
    ]


# ── Rules ─────────────────────────────────────────────────────────────────────────────────────


@check(
    Break("no policy", without("MediaQueuePolicy")),
    Break(
        "another rule's policy",
        put(
            "MediaQueuePolicy",
            "PolicyDocument",
            "Statement",
            0,
            "Condition",
            "ArnEquals",
            "aws:SourceArn",
            to=get_arn("OtherRule"),
        ),
    ),
    Break(
        "a policy on another queue",
        put("MediaQueuePolicy", "Queues", 0, to={"Ref": "MediaDeadLetterQueue"}),
    ),
    Break(
        "a function that wasn't told",
        put("MediaRule", "Targets", 0, "Arn", to=get_arn("CopyFunction")),
    ),
)
def test_every_rule_may_deliver_to_its_targets(template: Template) -> Faults:
    for rule, target in targets_of(template):
        if template.the("SQS::Queue", target["Arn"]) is not None:
            if not queue_takes_from(template, target["Arn"], rule):
                yield f"{rule}: the policy of {target['Arn']} doesn't take its events"
        elif template.the("Lambda::Function", target["Arn"]) is not None:
            permissions = template.of("Lambda::Permission").values()
            if not any(
                named(permission["FunctionName"]) == named(target["Arn"])
                and permission["Principal"] == EVENTBRIDGE
                and permission.get("SourceArn") == f"${{{rule}.Arn}}"
                for permission in permissions
            ):
                yield f"{rule} may not invoke {target['Arn']}"
        elif "RoleArn" not in target:
            yield f"{rule} has no role for {target['Arn']}"


@check(
    Break("no queue", drop("MediaRule", "Targets", 0, "DeadLetterConfig")),
    Break("a queue that doesn't take it", without("UndeliveredQueuePolicy")),
)
def test_what_a_rule_cannot_deliver_is_kept(template: Template) -> Faults:
    for rule, target in targets_of(template):
        kept_in = target.get("DeadLetterConfig", {}).get("Arn")
        if kept_in is None:
            yield f"{rule} loses what {target['Id']} doesn't take"
        elif not queue_takes_from(template, kept_in, rule):
            yield f"{rule}: the policy of {kept_in} doesn't take its failures"


@check(
    Break("a misspelt event", put("MediaRule", "EventPattern", "detail-type", to=["Task Stored"])),
    Break("the account's bus", drop("MediaRule", "EventBusName")),
)
def test_every_rule_on_our_bus_waits_for_events_that_are_sent(template: Template) -> Faults:
    sent = set(DETAIL_TYPES.values()) | {ERASED, "Task Rejected", "Task Requested"}
    for name, rule in template.of("Events::Rule").items():
        pattern = rule["EventPattern"]
        if SOURCE in pattern.get("source", []):
            if template.the("Events::EventBus", rule.get("EventBusName")) is None:
                yield f"{name} listens to the account's bus for what comes on ours"
            either = [one.get("detail-type", []) for one in pattern.get("$or", [])]
            for awaited in sum(either, pattern.get("detail-type", [])):
                if isinstance(awaited, str) and awaited not in sent:
                    yield f"{name} waits for {awaited}, which no code sends"


@check(
    Break("a misspelt source", put("MediaRule", "EventPattern", "source", to=["act_one"])),
    Break("no target", put("MediaRule", "Targets", to=[])),
    Break("an idle function", without("CopyFunctionMedia")),
)
def test_every_result_to_be_stored_reaches_the_copy(template: Template) -> Faults:
    reached = {
        template.the("Lambda::Function", mapping["FunctionName"])["Handler"]
        for mapping in template.of("Lambda::EventSourceMapping").values()
        for rule, target in targets_of(template)
        if target["Arn"] == mapping["EventSourceArn"]
        and template.of("Events::Rule")[rule]["EventPattern"]
        == {"source": [SOURCE], "detail-type": [DETAIL_TYPES[Stage.STORING]]}
    }
    if "callback.copy.handler" not in reached:
        yield f"a task that is storing reaches {reached or 'no function'}"


@check(
    Break(
        "a misspelt event",
        put(
            "WebhookRule",
            "EventPattern",
            "$or",
            4,
            "detail",
            "webhook",
            "events",
            to=["task.success"],
        ),
    ),
    Break(
        "another's event",
        put("WebhookRule", "EventPattern", "$or", 4, "detail-type", to=["Task Failed"]),
    ),
    Break("every event", put("WebhookRule", "EventPattern", to={"source": ["act-one"]})),
    Break("an idle function", without("WebhooksFunctionWebhooks")),
    Break("an idle queue", put("WebhookRule", "Targets", 0, "Arn", to=get_arn("MediaQueue"))),
)
def test_every_event_that_a_webhook_asks_for_reaches_it_and_no_other(template: Template) -> Faults:
    wanted = [
        {"detail-type": [kind], "detail": {"webhook": {"events": [WEBHOOK_EVENTS[stage]]}}}
        for stage, kind in DETAIL_TYPES.items()
    ]
    for mapping in template.of("Lambda::EventSourceMapping").values():
        function = template.the("Lambda::Function", mapping["FunctionName"])
        if function["Handler"] != "webhooks.app.handler":
            continue
        patterns = [
            template.of("Events::Rule")[rule]["EventPattern"]
            for rule, target in targets_of(template)
            if target["Arn"] == mapping["EventSourceArn"]
        ]
        for pattern in patterns:
            heard = pattern.get("$or", [])
            if set(pattern) != {"source", "$or"} or pattern["source"] != [SOURCE]:
                yield f"webhooks are sent for {pattern}"
            yield from (f"webhooks miss {one}" for one in wanted if one not in heard)
            yield from (f"webhooks are sent for {one}" for one in heard if one not in wanted)
        if len(patterns) == 1:
            return
    yield "no rule leads to the webhooks"


@check(
    Break(
        "our own files",
        put(
            "UploadsRule",
            "EventPattern",
            "detail",
            "object",
            "key",
            0,
            "anything-but",
            "wildcard",
            to=["uploads/*", "*/problem.json"],
        ),
    ),
    Break("a silent bucket", drop("UploadsBucket", "NotificationConfiguration")),
    Break("no rule", without("UploadsRule")),
    Break("no requests", without("RequestsRule")),
    Break(
        "half of the ends", put("ResultsRule", "EventPattern", "detail-type", to=["Task Succeeded"])
    ),
)
def test_every_way_in_reaches_ingest_and_our_own_files_never_do(template: Template) -> Faults:
    patterns = [
        template.of("Events::Rule")[rule]["EventPattern"]
        for mapping in template.of("Lambda::EventSourceMapping").values()
        if template.the("Lambda::Function", mapping["FunctionName"])["Handler"]
        == "ingest.app.handler"
        for rule, target in targets_of(template)
        if target["Arn"] == mapping["EventSourceArn"]
    ]
    by_file = [pattern for pattern in patterns if pattern.get("source") == ["aws.s3"]]
    excluded = {f"*/{name}" for name in folders.OWN_FILES} | {f"{UPLOADS}*", f"{OUTGOING}*"}
    buckets = template.of("S3::Bucket")
    if len(by_file) != 1:
        yield "files in the uploads bucket reach no function"
    for pattern in by_file:
        [condition] = pattern["detail"]["object"]["key"]
        if {*condition["anything-but"]["wildcard"]} != excluded:
            yield f"ingest gets {condition}"
        [bucket] = pattern["detail"]["bucket"]["name"]
        notifies = buckets[named(bucket)].get("NotificationConfiguration", {})
        if notifies != {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}:
            yield f"{bucket} tells EventBridge nothing"
    if {"detail-type": ["Task Requested"]} not in patterns:
        yield "requested tasks reach no function"
    ends = [pattern for pattern in patterns if pattern.get("source") == [SOURCE]]
    if [{*pattern["detail-type"]} for pattern in ends] != [END_DETAIL_TYPES]:
        yield f"results are written after {ends}"


@check(
    Break(
        "a rule of any account",
        drop("MediaQueuePolicy", "PolicyDocument", "Statement", 0, "Condition"),
    ),
)
def test_no_queue_takes_messages_from_any_account(template: Template) -> Faults:
    for name, policy in template.of("SQS::QueuePolicy").items():
        for statement in policy["PolicyDocument"]["Statement"]:
            if statement["Effect"] == "Allow" and not statement.get("Condition"):
                yield f"{name} allows {statement['Principal']} without a condition"


# ── Schedules and asynchronous calls ──────────────────────────────────────────────────────────


@check(
    Break("not its failures", forbid("SweepScheduleRole", "sqs:SendMessage")),
    Break(
        "another function",
        allow("SweepScheduleRole", "lambda:InvokeFunction", get_arn("CopyFunction")),
    ),
)
def test_every_schedule_may_invoke_its_function_and_nothing_else(template: Template) -> Faults:
    for name, schedule in template.of("Scheduler::Schedule").items():
        target = schedule["Target"]
        kept_in = target.get("DeadLetterConfig", {}).get("Arn")
        needed = {("lambda:InvokeFunction", target["Arn"]), ("sqs:SendMessage", kept_in)}
        if template.grants(target["RoleArn"]) != needed:
            yield f"{name}: its role allows {sorted(template.grants(target['RoleArn']))}"


@check(
    Break(
        "SAM's role",
        drop("SweepScheduleRole", "AssumeRolePolicyDocument", "Statement", 0, "Condition"),
    ),
    Break(
        "no version",
        drop("SweepScheduleRole", "Policies", 0, "PolicyDocument", "Version"),
    ),
)
def test_the_role_of_a_schedule_is_for_this_account_and_of_todays_language(
    template: Template,
) -> Faults:
    """Without a version a policy is of 2008: it knows no variables, and not all accept it."""
    for name, schedule in template.of("Scheduler::Schedule").items():
        role = template.the("IAM::Role", schedule["Target"]["RoleArn"]) or {}
        for statement in role["AssumeRolePolicyDocument"]["Statement"]:
            asked = statement.get("Condition", {}).get("StringEquals", {})
            if asked.get("aws:SourceAccount") != "${AWS::AccountId}":
                yield f"{name}: the scheduler of another account may take its role"
        for policy in role["Policies"]:
            if policy["PolicyDocument"].get("Version") != "2012-10-17":
                yield f"{name}: {policy['PolicyName']} is in the language of 2008"


@check(
    Break("185 tries in a day", drop("SweeperFunctionEveryMinute", "Target", "RetryPolicy")),
    Break(
        "two more of Lambda's",
        put("SweeperFunctionEventInvokeConfig", "MaximumRetryAttempts", to=2),
    ),
)
def test_a_schedule_never_tries_a_run_again_that_the_next_one_replaces(
    template: Template,
) -> Faults:
    for name, schedule in template.of("Scheduler::Schedule").items():
        retry = schedule["Target"].get("RetryPolicy", {})
        configs = template.of("Lambda::EventInvokeConfig").values()
        called = named(schedule["Target"]["Arn"])
        again = next((c for c in configs if named(c["FunctionName"]) == called), {})
        for tries in (retry, again) if schedule["ScheduleExpression"] == "rate(1 minute)" else ():
            if (
                tries.get("MaximumRetryAttempts") != 0
                or tries.get("MaximumEventAgeInSeconds") != 60
            ):
                yield f"{name} piles up runs"


@check(
    Break("SAM's name", put("SweeperFunctionEveryMinute", "Name", to="SweeperFunctionEveryMinute")),
)
def test_two_stacks_in_one_account_have_a_schedule_each(template: Template) -> Faults:
    for name, schedule in template.of("Scheduler::Schedule").items():
        if "Name" in schedule:
            yield f"{name} has the name {schedule['Name']}"


@check(
    Break("nowhere", drop("SweeperFunctionEventInvokeConfig", "DestinationConfig")),
    Break("no config", without("SweeperFunctionEventInvokeConfig")),
)
def test_every_function_that_is_called_asynchronously_says_where_failures_go(
    template: Template,
) -> Faults:
    called = [schedule["Target"]["Arn"] for schedule in template.of("Scheduler::Schedule").values()]
    called += [target["Arn"] for _, target in targets_of(template)]
    configs = template.of("Lambda::EventInvokeConfig").values()
    for arn in called:
        if template.the("Lambda::Function", arn) is None:
            continue
        config = next((c for c in configs if named(c["FunctionName"]) == named(arn)), {})
        failed = config.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
        if template.the("SQS::Queue", failed) is None:
            yield f"{named(arn)} loses what it fails at"
        if "MaximumRetryAttempts" not in config:
            yield f"{named(arn)} is tried again as often as AWS likes"
