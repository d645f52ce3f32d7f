"""Each role may do what its function does, and nothing else.

What our own code calls is read from the code; what AWS does on a function's behalf, which no local
emulator refuses, from the resources that make it do so.
"""

import re

from act_one.ingest import folders
from act_one.inputs import bucket
from act_one.tasks.events import DETAIL_TYPES, ERASED, REJECTED, SOURCE
from act_one.tasks.links import result_prefix
from act_one.tasks.task import Stage, Task
from tests.template.checks import Break, add, allow, check, drop, forbid, get_arn, put
from tests.template.deployment import OTHERWISE, Faults, Grants, Template, as_list, named
from tests.template.reachable_calls import Operation, reached_from, untyped_operations

READ_OF_SOURCE = {
    "AWS::SQS::Queue": {
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ChangeMessageVisibility",
    },
    "AWS::DynamoDB::Table": {
        "dynamodb:DescribeStream",
        "dynamodb:GetRecords",
        "dynamodb:GetShardIterator",
    },
}
LIST_STREAMS = ("dynamodb:ListStreams", "*")
TRACE = {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}
TRACE_EXECUTIONS = TRACE | {"xray:GetSamplingRules", "xray:GetSamplingTargets"}
DELIVER_LOGS = {
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
}
CONNECT = {  # functions to a VPC, and the resource that Lambda asks for
    **dict.fromkeys(
        (
            "ec2:CreateNetworkInterface",
            "ec2:DeleteNetworkInterface",
            "ec2:AssignPrivateIpAddresses",
            "ec2:UnassignPrivateIpAddresses",
        ),
        "arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:*/*",
    ),
    "ec2:DescribeNetworkInterfaces": "*",
    "ec2:DescribeSubnets": "*",
}
NOT_NARROWER = (
    TRACE_EXECUTIONS
    | DELIVER_LOGS
    | {"dynamodb:ListStreams"}
    | {action for action, resource in CONNECT.items() if resource == "*"}
)
"""AWS knows no narrower resource than `*` for these."""

SECRET_ARN = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:"
BUS_ARN = (
    "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/${AWS::StackName}"
)
"""Not `!GetAtt EventBus.Arn`: the bus has a policy that names roles."""
SECRET_SETTINGS = {"provider_secret", "callback_secret", "webhook_secret"}
QUEUE_VARIABLES = ("WEBHOOK_QUEUE_URL", "INGEST_QUEUE_URL")
TABLES = {  # by the modules that call them; all others call the tasks table
    "act_one.clients.directory": "CLIENTS_TABLE",
    "act_one.ingest.pairs": "PAIRS_TABLE",
    "act_one.tasks.accounts": "LEDGER_TABLE",
    "act_one.tasks.durations": "STATS_TABLE",
}
RESULTS_PREFIX = "tasks/"
INPUT_PREFIXES = {  # whose inputs a sender may read: a request by HTTP names uploaded files only
    "submit.app.handler": [bucket.UPLOADS],
    "fallback.app.handler": [bucket.UPLOADS, bucket.INCOMING],
    "ingest.app.handler": [bucket.UPLOADS, bucket.INCOMING, bucket.OUTGOING],
}
WRITTEN_BY_INGEST = [
    *(f"{bucket.INCOMING}*/{name}" for name in sorted(folders.OWN_FILES)),
    f"{bucket.INCOMING}{folders.PROBLEM}",  # about files that are in no folder
    f"{bucket.OUTGOING}*",
]
RESULTS_OF_FOLDERS = [f"{bucket.OUTGOING}*", f"{bucket.INCOMING}*/{bucket.RESULT}"]
ERASED_IN_UPLOADS = [
    f"{bucket.UPLOADS}*",
    f"{bucket.OUTGOING}*",
    f"{bucket.INCOMING}*/{bucket.RESULT}",
]
GIVEN_ARNS = {"KmsKeyArn", "ProviderApiKeySecretArn", "ProviderApiKeySecretKmsKeyArn"}
"""The parameters that name resources outside of the stack, which roles may use."""
TRUSTED = {
    "Lambda::Function": "lambda.amazonaws.com",
    "StepFunctions::StateMachine": "states.amazonaws.com",
    "Scheduler::Schedule": "scheduler.amazonaws.com",
}


# ── What is needed ────────────────────────────────────────────────────────────────────────────


def granted_to_functions(template: Template, role: object) -> Grants:
    """List what is granted beside traces, VPCs and keys, which have tests of their own."""
    others = ("xray:", "ec2:", "kms:")
    return {grant for grant in template.grants(role) if not grant[0].startswith(others)}


def needed_of_services(template: Template, name: str) -> Grants:
    """What AWS does with a function's role: its event sources, failures, logs."""
    function = template.of("Lambda::Function")[name]
    needed = {
        (action, arn_of(function["LoggingConfig"]["LogGroup"]))
        for action in ("logs:CreateLogStream", "logs:PutLogEvents")
    }
    configs = template.of("Lambda::EventInvokeConfig").values()
    destinations = [config for config in configs if named(config["FunctionName"]) == name]
    for mapping in template.of("Lambda::EventSourceMapping").values():
        if named(mapping["FunctionName"]) == name:
            arn = mapping["EventSourceArn"]
            kind = template.resources[named(arn)]["Type"]
            needed |= {(action, arn) for action in READ_OF_SOURCE[kind]}
            needed |= {LIST_STREAMS} if kind == "AWS::DynamoDB::Table" else set()
            destinations.append(mapping)
    for holder in destinations:
        for outcome in holder.get("DestinationConfig", {}).values():
            needed |= needed_to_write(template, outcome["Destination"])
    return needed


def needed_to_write(template: Template, destination: str) -> Grants:
    if template.the("S3::Bucket", destination) is not None:
        return {("s3:PutObject", f"{destination}/*"), ("s3:ListBucket", destination)}
    return {("sqs:SendMessage", destination)}


def needed_of_code(template: Template, name: str) -> Grants:
    """What a function's own code calls, and on what."""
    function = template.of("Lambda::Function")[name]
    reached = reached_from(function["Handler"])
    variables = function["Environment"]["Variables"]
    secrets = [variables[s.upper()] for s in sorted(reached.settings & SECRET_SETTINGS)]
    places = {  # a new service, or another bucket, gets its place here
        "events": [BUS_ARN],
        "secretsmanager": [secret_arn(secret) for secret in secrets],
        "sqs": [arn_of(variables[v]) for v in QUEUE_VARIABLES if v in variables],
        "stepfunctions": [variables.get("FALLBACK_ARN", "")],
    }
    return {
        (action, f"{place}/index/{operation.index}" if operation.index else place)
        for operation in reached.operations
        for action in operation.actions()
        for place in places.get(operation.service) or places_of(operation, function)
    }


def places_of(operation: Operation, function: dict) -> list[str]:
    """The tables and the parts of buckets that a module's calls are about."""
    variables = function["Environment"]["Variables"]
    if operation.service == "dynamodb":
        tables = [TABLES.get(operation.module, "TASKS_TABLE")]
        if operation.method == "transact_write_items":
            tables.append("LEDGER_TABLE")
        return [arn_of(variables[table]) for table in tables]
    inputs = arn_of(variables["UPLOADS_BUCKET"])
    results = arn_of(variables["RESULTS_BUCKET"])
    match operation.module, operation.method:
        case "act_one.lifecycle.erasure", "list_object_versions":
            return [inputs, results]
        case "act_one.lifecycle.erasure", "delete_object":
            erased = [f"{inputs}/{name}" for name in ERASED_IN_UPLOADS]
            return [*erased, f"{results}/{RESULTS_PREFIX}*"]
        case "act_one.lifecycle.erasure", "get_object":
            return [f"{inputs}/{name}" for name in RESULTS_OF_FOLDERS]
        case "act_one.inputs.bucket", "list_objects_v2":
            return [inputs]
        case "act_one.inputs.bucket", "put_object" | "delete_object":
            return [f"{inputs}/{written}" for written in WRITTEN_BY_INGEST]
        case "act_one.inputs.bucket", "copy_object":
            return [f"{arn_of(variables['RESULTS_BUCKET'])}/{RESULTS_PREFIX}*"]
        case "act_one.inputs.bucket", _:
            prefixes = INPUT_PREFIXES[function["Handler"]]
            return [f"{inputs}/{prefix}*" for prefix in prefixes]
        case "act_one.inputs.uploads", _:
            return [f"{inputs}/{bucket.UPLOADS}*"]
    return [f"{arn_of(variables['RESULTS_BUCKET'])}/{RESULTS_PREFIX}*"]


def secret_arn(secret: str) -> str:
    """Give the resource of a secret that a function knows by its ARN or by its name."""
    return secret if secret.startswith("arn:") else f"{SECRET_ARN}{secret}-??????"


def arn_of(reference: str) -> str:
    return f"${{{named(reference)}.Arn}}"


# ── Functions ─────────────────────────────────────────────────────────────────────────────────


@check(
    Break("no write", forbid("SubmitRole", "dynamodb:UpdateItem")),
    Break("no link", forbid("TasksRole", "s3:GetObject")),
    Break("no search", forbid("SweeperRole", "dynamodb:Query")),
    Break("no execution", forbid("SweeperRole", "states:StartExecution")),
    Break("no event", forbid("RelayRole", "events:PutEvents")),
    Break("no second webhook", forbid("TasksRole", "sqs:SendMessage")),
    Break("no pause", forbid("WebhooksRole", "sqs:ChangeMessageVisibility")),
    Break(
        "a table for its index",
        put(
            "CallbackRole",
            "Policies",
            0,
            "PolicyDocument",
            "Statement",
            2,
            "Resource",
            to=get_arn("TasksTable"),
        ),
    ),
    Break(
        "one secret of two",
        drop("CallbackRole", "Policies", 0, "PolicyDocument", "Statement", 3, "Resource", 0),
    ),
)
def test_every_function_may_do_what_its_code_does(template: Template) -> Faults:
    for name, function in template.of("Lambda::Function").items():
        for action, resource in missing(needed_of_code(template, name), template, function):
            yield f"{name} calls {action} on {resource}, which its role doesn't allow"


@check(
    Break("a delete", allow("SubmitRole", "dynamodb:DeleteItem", get_arn("TasksTable"))),
    Break("another read", allow("RelayRole", "dynamodb:GetItem", get_arn("TasksTable"))),
    Break(
        "a whole bucket", allow("CopyRole", "s3:GetObject", {"Fn::Sub": "${ResultsBucket.Arn}/*"})
    ),
    Break(
        "the other index",
        allow(
            "SweeperRole", "dynamodb:Query", {"Fn::Sub": "${TasksTable.Arn}/index/provider-task"}
        ),
    ),
    Break(
        "a key that a copy never needs",
        allow(
            "CopyRole",
            "secretsmanager:GetSecretValue",
            {"Fn::Sub": f"{SECRET_ARN}${{AWS::StackName}}/provider-??????"},
        ),
    ),
    Break("log groups", allow("CopyRole", "logs:CreateLogGroup", "*")),
    Break(
        "any input",
        allow("IngestRole", "s3:PutObject", {"Fn::Sub": "${UploadsBucket.Arn}/incoming/*"}),
    ),
    Break("another's queue", allow("CallbackRole", "sqs:SendMessage", get_arn("MediaQueue"))),
    Break(
        "a reader that deletes",
        allow("TasksRole", "s3:DeleteObjectVersion", {"Fn::Sub": "${ResultsBucket.Arn}/tasks/*"}),
    ),
    Break(
        "inputs of folders",
        allow(
            "EraseRole", "s3:DeleteObjectVersion", {"Fn::Sub": "${UploadsBucket.Arn}/incoming/*"}
        ),
    ),
    Break("webhooks of its own", allow("WebhooksRole", "sqs:SendMessage", get_arn("WebhookQueue"))),
)
def test_no_function_may_do_more_than_it_does(template: Template) -> Faults:
    for name, function in template.of("Lambda::Function").items():
        needed = needed_of_code(template, name) | needed_of_services(template, name)
        for action, resource in sorted(granted_to_functions(template, function["Role"]) - needed):
            yield f"{name} may {action} on {resource}, but nothing it runs does that"


@check(
    Break("no visibility", forbid("CopyRole", "sqs:ChangeMessageVisibility")),
    Break("no messages", forbid("CopyRole", "sqs:ReceiveMessage")),
    Break("no records", forbid("RelayRole", "dynamodb:GetRecords")),
    Break("no streams", forbid("RelayRole", "dynamodb:ListStreams")),
    Break("no failed records", forbid("RelayRole", "s3:PutObject")),
    Break("no look at their bucket", forbid("RelayRole", "s3:ListBucket")),
    Break("no failed run", forbid("SweeperRole", "sqs:SendMessage")),
    Break("no logs", forbid("TasksRole", "logs:PutLogEvents")),
)
def test_every_event_source_can_be_read_by_its_function_and_every_failure_be_kept(
    template: Template,
) -> Faults:
    for name, function in template.of("Lambda::Function").items():
        for action, resource in missing(needed_of_services(template, name), template, function):
            yield f"AWS needs {action} on {resource} to run {name}"


def missing(needed: Grants, template: Template, function: dict) -> list[tuple[str, str]]:
    return sorted(needed - template.grants(function["Role"]))


def test_no_call_of_aws_escapes_the_reading_of_the_code():
    assert [*untyped_operations()] == []


def test_the_reading_of_the_code_sees_what_handlers_call():
    called = {
        operation.method
        for handler in ("submit.app", "callback.app", "callback.copy", "sweeper.app", "tasks.app")
        for operation in reached_from(f"{handler}.handler").operations
    }

    assert {"put_item", "update_item", "get_item", "query", "start_execution"} <= called
    assert {"put_object", "get_object", "get_secret_value"} <= called


def test_results_lie_where_roles_look_for_them():
    task = Task(
        task_id="t",
        client_id="c",
        stage=Stage.STORING,
        created_at=0.0,
        updated_at=0.0,
        video="https://media.example/v",
        image="https://media.example/i",
        metadata={},
        request_hash="h",
        claim_id="c",
    )

    assert result_prefix(task).startswith(RESULTS_PREFIX)


# ── Roles ─────────────────────────────────────────────────────────────────────────────────────


@check(
    Break("a shared role", put("TasksFunction", "Role", to=get_arn("SubmitRole"))),
    Break(
        "a role for two services",
        put(
            "CopyRole",
            "AssumeRolePolicyDocument",
            "Statement",
            0,
            "Principal",
            to={"Service": ["lambda.amazonaws.com", "ec2.amazonaws.com"]},
        ),
    ),
)
def test_every_role_belongs_to_one_resource_of_the_service_that_it_trusts(
    template: Template,
) -> Faults:
    holders: dict[str, list[str]] = {role: [] for role in template.of("IAM::Role")}
    for kind, service in TRUSTED.items():
        for name, properties in template.of(kind).items():
            holder = properties.get("Target", properties)
            role = named(holder.get("Role") or holder.get("RoleArn"))
            if role not in holders:
                yield f"{name} has no role of this template"
                continue
            holders[role].append(name)
            [trust] = template.of("IAM::Role")[role]["AssumeRolePolicyDocument"]["Statement"]
            allowed = trust["Effect"] == "Allow" and as_list(trust["Action"]) == ["sts:AssumeRole"]
            if not allowed or as_list(trust["Principal"].get("Service")) != [service]:
                yield f"{role} is {name}'s, but doesn't trust {service} alone"
    for role, names in holders.items():
        if len(names) != 1:
            yield f"{role} belongs to {names or 'nothing'}, not to one resource"


@check(
    Break(
        "AWS's policy",
        put(
            "CopyRole",
            "ManagedPolicyArns",
            to=["arn:aws:iam::aws:policy/service-role/AWSLambdaSQSQueueExecutionRole"],
        ),
    ),
    Break("one that comes later", add("Later", "IAM::Policy", Roles=[{"Ref": "CopyRole"}])),
)
def test_a_role_says_everything_inside_itself(template: Template) -> Faults:
    """What is attached later can be too late for an event source mapping's own check."""
    for name in template.of("IAM::Policy"):
        yield f"{name} is a policy beside its roles"
    for name, role in template.of("IAM::Role").items():
        for arn in role.get("ManagedPolicyArns", []):
            wanted = {
                "TracingPolicy": template.parameters["Tracing"] == "Active",
                "NetworkPolicy": template.parameters["SubnetIds"] != "",
            }
            if not wanted.get(named(arn) or ""):
                yield f"{name} has the managed policy {arn}"


@check(
    Break("everything in S3", allow("CopyRole", "s3:*", get_arn("ResultsBucket"))),
    Break("everything", allow("CopyRole", "*", get_arn("ResultsBucket"))),
    Break("all that begins so", allow("CopyRole", "s3:Get*", get_arn("ResultsBucket"))),
    Break(
        "whatever a queue can do",
        put("MediaQueuePolicy", "PolicyDocument", "Statement", 0, "Action", to="sqs:*"),
    ),
)
def test_no_allowed_action_is_a_pattern(template: Template) -> Faults:
    stated = [(name, s) for name in template.of("IAM::Role") for s in template.statements(name)]
    for kind in ("SQS::QueuePolicy", "S3::BucketPolicy", "Events::EventBusPolicy"):
        for name, policy in template.of(kind).items():
            stated += [(name, statement) for statement in policy["PolicyDocument"]["Statement"]]
    for name, bus in template.of("Events::EventBus").items():
        stated += [(name, statement) for statement in bus["Policy"]["Statement"]]
    for name, statement in stated:
        if statement["Effect"] == "Deny":
            continue
        for action in as_list(statement.get("Action", "*")):  # NotAction names all the others
            if "*" in action or "?" in action:
                yield f"{name} says {action}: name the actions"


@check(
    Break("another name", put("EventBus", "Name", to="act-one")),
)
def test_the_bus_has_the_name_that_roles_know(template: Template) -> Faults:
    for name, bus in template.of("Events::EventBus").items():
        if not BUS_ARN.endswith(f"/{bus['Name']}"):
            yield f"{name} is named {bus['Name']}"


OWN_SOURCE = ("EventBus", "Policy", "Statement", 0)
RELAY_MAY = ("RelayRole", "Policies", 0, "PolicyDocument", "Statement", 0)
RELAYED = (*RELAY_MAY, "Condition", "ForAllValues:StringEquals")


@check(
    Break("no policy", drop("EventBus", "Policy")),
    Break("it allows", put(*OWN_SOURCE, "Effect", to="Allow")),
    Break("only some", put(*OWN_SOURCE, "Principal", to={"AWS": "arn:aws:iam::1:root"})),
    Break("another source", put(*OWN_SOURCE, "Condition", "ForAnyValue:StringEquals", to={})),
    Break("no exception", drop(*OWN_SOURCE, "Condition", "ArnNotEquals")),
    Break(
        "one more",
        put(
            *OWN_SOURCE,
            "Condition",
            "ArnNotEquals",
            "aws:PrincipalArn",
            to=[get_arn("RelayRole"), get_arn("IngestRole"), get_arn("SubmitRole")],
        ),
    ),
    Break("any source", drop(*RELAYED, "events:source")),
    Break("one event less", drop(*RELAYED, "events:detail-type", 0)),
    Break("requests", put(*RELAYED, "events:detail-type", 0, to="Task Requested")),
)
def test_only_the_functions_that_publish_events_may_use_our_source(template: Template) -> Faults:
    published = {
        "relay.app.handler": {*DETAIL_TYPES.values(), ERASED},
        "ingest.app.handler": {REJECTED},
    }
    publishers = []
    for name, function in template.of("Lambda::Function").items():
        role = function["Role"]
        for statement in template.statements(role):
            if "events:PutEvents" not in as_list(statement["Action"]):
                continue
            publishers.append(role)
            limits = statement.get("Condition", {}).get("ForAllValues:StringEquals", {})
            types = as_list(limits.get("events:detail-type", []))
            if limits.get("events:source") != [SOURCE]:
                yield f"{name} may put events of any source"
            if {*types} != published.get(function["Handler"], set()):
                yield f"{name} may put {types}"
    denied = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "events:PutEvents",
        "Resource": BUS_ARN,
        "Condition": {
            "ForAnyValue:StringEquals": {"events:source": [SOURCE]},
            "ArnNotEquals": {"aws:PrincipalArn": publishers},
        },
    }
    for name, bus in template.of("Events::EventBus").items():
        statements = bus.get("Policy", {}).get("Statement", [])
        if denied not in [{k: v for k, v in s.items() if k != "Sid"} for s in statements]:
            yield f"{name}: others than {publishers} may use the source {SOURCE}"


@check(
    Break("every table", allow("CopyRole", "dynamodb:UpdateItem", "*")),
    Break("another's bucket", allow("CopyRole", "s3:PutObject", "arn:aws:s3:::theirs/*")),
    Break(
        "every index and more",
        allow("CopyRole", "dynamodb:Query", {"Fn::Sub": "${TasksTable.Arn}*/index"}),
    ),
)
def test_every_permission_is_on_a_resource_of_this_stack(template: Template) -> Faults:
    for role in template.of("IAM::Role"):
        for action, resource in sorted(template.grants(role)):
            if resource == "*":
                if action not in NOT_NARROWER:
                    yield f"{role} may {action} on everything"
                continue
            ours = [r for r in re.findall(r"\$\{(\w+)", resource) if r in template.resources]
            secret = resource.startswith(f"{SECRET_ARN}${{AWS::StackName}}/")
            given = resource in {template.parameters[name] for name in GIVEN_ARNS}
            connects = CONNECT.get(action) == resource
            if not ours and not secret and not given and not connects and resource != BUS_ARN:
                yield f"{role} may {action} on {resource}, which is not of this stack"
            written = resource.endswith(tuple(f"/{path}" for path in WRITTEN_BY_INGEST))
            if "*" in resource.removesuffix("/*") and not written and not connects:
                yield f"{role} may {action} on {resource}: a pattern in the middle of a name"


@check(
    Break(
        "no reason",
        lambda template: template.update(
            source='Statement:\n  - Action: sqs:ListQueues\n    Resource: "*"\n'
        ),
    ),
)
def test_a_permission_on_everything_says_why(template: Template) -> Faults:
    for number, line in enumerate(template.source.splitlines(), start=1):
        on_everything = re.match(r"""\s*(Resource:|-).*(["'])\*\2""", line)
        if on_everything and "Principal" not in line and not re.search(r"\s#\s*\w+", line):
            yield f"line {number} of the template gives no reason for its {line.strip()}"


@check(
    Break(
        "longer names too",
        put(
            "SubmitRole",
            "Policies",
            0,
            "PolicyDocument",
            "Statement",
            3,
            "Resource",
            to={"Fn::Sub": f"{SECRET_ARN}${{AWS::StackName}}/provider-*"},
        ),
    ),
)
def test_a_secret_is_readable_by_its_whole_name(template: Template) -> Faults:
    """AWS adds six characters to a secret's name; `-*` would match longer names too."""
    whole = {secret_arn(s["Name"]) for s in template.of("SecretsManager::Secret").values()}
    whole.add(template.parameters["ProviderApiKeySecretArn"])
    for role in template.of("IAM::Role"):
        for action, resource in sorted(template.grants(role)):
            if action.startswith("secretsmanager:") and resource not in whole:
                yield f"{role} may {action} on {resource}, which is no secret's name and 6 letters"


@check(
    Break("no policy", drop("CopyRole", "ManagedPolicyArns"), OTHERWISE),
    Break(
        "no sampling",
        put(
            "TracingPolicy",
            "PolicyDocument",
            "Statement",
            0,
            "Action",
            to=["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
        ),
        OTHERWISE,
    ),
    Break("always", put("CopyFunction", "TracingConfig", "Mode", to="Active")),
    Break("in the API", put("Apiv1Stage", "TracingEnabled", to=True)),
)
def test_only_functions_that_trace_may_send_traces(template: Template) -> Faults:
    wanted = template.parameters["Tracing"] == "Active"
    for name, stage in template.of("ApiGateway::Stage").items():
        if stage.get("TracingEnabled") is not wanted:
            yield f"{name} doesn't trace as the parameter says"
    for kind, needed in (
        ("Lambda::Function", TRACE),
        ("StepFunctions::StateMachine", TRACE_EXECUTIONS),
    ):
        for name, properties in template.of(kind).items():
            config = properties.get("TracingConfig") or properties.get("TracingConfiguration", {})
            traces = config.get("Mode") == "Active" or config.get("Enabled") is True
            if traces != wanted:
                yield f"{name} doesn't trace as the parameter says"
            role = properties.get("Role") or properties.get("RoleArn")
            granted = {action for action, _ in template.grants(role) if action.startswith("xray:")}
            if traces and not needed <= granted:
                yield f"{name} traces without {sorted(needed - granted)}"
            if not traces and granted:
                yield f"{name} doesn't trace, but may {sorted(granted)}"
