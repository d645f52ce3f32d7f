"""Data and secrets: private, encrypted, not lost by a mistake."""

import inspect
import re
import string

import pytest

from act_one.ingest import pairs
from act_one.inputs.bucket import INCOMING, OUTGOING, UPLOADS
from act_one.tasks.table import CLIENT_INDEX, DUE_INDEX, PROVIDER_TASK_INDEX
from act_one.tasks.task import Task
from tests.template.checks import Break, allow, check, drop, get_arn, put, without
from tests.template.deployment import OTHERWISE, SOURCE, Faults, Template, as_list, expanded, named
from tests.template.test_permissions import RESULTS_PREFIX

DATA = {"AWS::DynamoDB::Table": "TableName", "AWS::S3::Bucket": "BucketName"}
PRIVATE = {"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"}
# A stage's name is its API's, layers have versions, and a metric is none of our resources.
NO_NAMES_OF_RESOURCES = {"StageName", "LayerName", "MetricName"}


@check(
    Break("a table that goes", drop("Resources", "TasksTable", "DeletionPolicy")),
    Break(
        "a replaced bucket", put("Resources", "ResultsBucket", "UpdateReplacePolicy", to="Delete")
    ),
    Break(
        "a named table", put("TasksTable", "TableName", to={"Fn::Sub": "${AWS::StackName}-tasks"})
    ),
)
def test_data_outlives_the_stack_but_not_a_deployment_that_failed(template: Template) -> Faults:
    for name, resource in template.resources.items():
        if resource["Type"] in DATA:
            if resource.get("DeletionPolicy") != "RetainExceptOnCreate":
                yield f"{name} goes with the stack, or stays when its creation failed"
            if resource.get("UpdateReplacePolicy") != "Retain":
                yield f"{name} goes when it is replaced"
            if DATA[resource["Type"]] in resource.get("Properties", {}):
                yield f"{name} has a name: one that was kept stands in a new stack's way"


@check(
    Break("a named queue", put("MediaQueue", "QueueName", to="media")),
    Break("a named role", put("CopyRole", "RoleName", to={"Fn::Sub": "${AWS::StackName}-copy"})),
)
def test_nothing_has_a_name_that_a_second_stack_would_want(template: Template) -> Faults:
    for name, resource in template.resources.items():
        for key, value in resource.get("Properties", {}).items():
            refers = isinstance(value, str) and "${" in value
            if key.endswith("Name") and key not in NO_NAMES_OF_RESOURCES and not refers:
                yield f"{name} has the {key} {value}"
        if resource["Type"] in {"AWS::IAM::Role", "AWS::IAM::ManagedPolicy"}:
            for key in {"RoleName", "ManagedPolicyName"} & resource["Properties"].keys():
                yield f"{name} has a {key}, which CAPABILITY_IAM doesn't allow"


# ── The table ─────────────────────────────────────────────────────────────────────────────────


@check(
    Break("no way back", drop("TasksTable", "PointInTimeRecoverySpecification")),
    Break("capacity that costs", put("TasksTable", "BillingMode", to="PROVISIONED")),
)
def test_every_table_is_on_demand_and_can_be_restored_to_any_moment(template: Template) -> Faults:
    for name, table in template.of("DynamoDB::Table").items():
        if table.get("BillingMode") != "PAY_PER_REQUEST":
            yield f"{name} costs something when idle"
        recovery = table.get("PointInTimeRecoverySpecification", {})
        if recovery.get("PointInTimeRecoveryEnabled") is not True:
            yield f"{name} can't be restored"


@check(
    Break(
        "another index", put("TasksTable", "GlobalSecondaryIndexes", 0, "IndexName", to="overdue")
    ),
    Break(
        "an index of whole rows",
        put("TasksTable", "GlobalSecondaryIndexes", 1, "Projection", "ProjectionType", to="ALL"),
    ),
    Break(
        "half a stream", put("TasksTable", "StreamSpecification", "StreamViewType", to="NEW_IMAGE")
    ),
    Break("no expiry", drop("TasksTable", "TimeToLiveSpecification")),
)
def test_the_tasks_table_is_what_its_code_takes_it_for(template: Template) -> Faults:
    for name, table in _tasks_tables(template).items():
        if table["KeySchema"] != [{"AttributeName": "task_id", "KeyType": "HASH"}]:
            yield f"{name} is not keyed by task_id"
        if table.get("StreamSpecification") != {"StreamViewType": "NEW_AND_OLD_IMAGES"}:
            yield f"{name}: without both images a move looks like a claim"
        expiry = table.get("TimeToLiveSpecification", {})
        if expiry != {"AttributeName": "expires_at", "Enabled": True}:
            yield f"{name}: rows never go"
        indexes = {
            index["IndexName"]: [key["AttributeName"] for key in index["KeySchema"]]
            for index in table.get("GlobalSecondaryIndexes", [])
        }
        needed = {
            DUE_INDEX: ["watched", "due_at"],
            PROVIDER_TASK_INDEX: ["provider_task_id"],
            CLIENT_INDEX: ["client_id", "created_at"],
        }
        projections = [index["Projection"] for index in table.get("GlobalSecondaryIndexes", [])]
        if any(projection != {"ProjectionType": "KEYS_ONLY"} for projection in projections):
            yield f"{name}: an index holds, and every write pays for, more than the code asks"
        if indexes != needed:
            yield f"{name} has the indexes {indexes}, the code asks {needed}"
        fields = {*Task.__dataclass_fields__, "watched"}
        asked = {name for names in needed.values() for name in names} | {"task_id", "expires_at"}
        for attribute in asked - fields:
            yield f"{name}: no row has the attribute {attribute}"


@check(
    Break("pairs for ever", drop("PairsTable", "TimeToLiveSpecification")),
    Break(
        "by another attribute",
        put("PairsTable", "TimeToLiveSpecification", "AttributeName", to="expires"),
    ),
    Break("turned off", put("TasksTable", "TimeToLiveSpecification", "Enabled", to=False)),
)
def test_rows_are_removed_by_the_attribute_that_code_writes(template: Template) -> Faults:
    """Of tasks and pairs. Clients, the ledger and durations stay."""
    expiring = {
        named(function["Environment"]["Variables"][variable])
        for function in template.of("Lambda::Function").values()
        for variable in ("TASKS_TABLE", "PAIRS_TABLE")
        if variable in function["Environment"]["Variables"]
    }
    assert 'item["expires_at"]' in inspect.getsource(pairs)
    for name, table in template.of("DynamoDB::Table").items():
        expiry = table.get("TimeToLiveSpecification")
        wanted = {"AttributeName": "expires_at", "Enabled": True} if name in expiring else None
        if expiry != wanted:
            yield f"{name} removes rows by {expiry}, not by {wanted}"


def _tasks_tables(template: Template) -> dict[str, dict]:
    tables = {
        named(function["Environment"]["Variables"]["TASKS_TABLE"])
        for function in template.of("Lambda::Function").values()
    }
    return {name: template.of("DynamoDB::Table")[name] for name in tables}


# ── Buckets ───────────────────────────────────────────────────────────────────────────────────


@check(
    Break(
        "a public bucket",
        put("ResultsBucket", "PublicAccessBlockConfiguration", "BlockPublicPolicy", to=False),
    ),
    Break("a bucket in the clear", drop("RelayFailuresBucket", "BucketEncryption")),
)
def test_every_bucket_is_private_and_encrypted(template: Template) -> Faults:
    for name, bucket in template.of("S3::Bucket").items():
        access = bucket.get("PublicAccessBlockConfiguration", {})
        if {key for key, blocked in access.items() if blocked is True} != PRIVATE:
            yield f"{name} could be made public"
        rules = bucket.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", [])
        if not any("ServerSideEncryptionByDefault" in rule for rule in rules):
            yield f"{name} is not encrypted"
        if "AccessControl" in bucket:
            yield f"{name} has an access control list"


@check(
    Break("no policy", without("ResultsBucketPolicy")),
    Break(
        "a policy for the bucket alone",
        put(
            "RelayFailuresBucketPolicy",
            "PolicyDocument",
            "Statement",
            0,
            "Resource",
            to=get_arn("RelayFailuresBucket"),
        ),
    ),
    Break(
        "plain writes",
        put(
            "ResultsBucketPolicy",
            "PolicyDocument",
            "Statement",
            0,
            "Action",
            to=["s3:GetObject", "s3:DeleteObject", "s3:ListBucket"],
        ),
    ),
    Break("TLS on a laptop", drop("Resources", "ResultsBucketPolicy", "Condition"), OTHERWISE),
)
def test_every_bucket_refuses_plain_http_unless_the_stack_is_local(template: Template) -> Faults:
    refused = {
        named(policy["Bucket"]): statement
        for policy in template.of("S3::BucketPolicy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
        and statement["Principal"] == "*"
        and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    }
    for name in template.of("S3::Bucket"):
        if template.parameters["RequireTls"] != "true":
            if name in refused:
                yield f"{name} can't be used by a local stack"
            continue
        statement = refused.get(name, {"Action": [], "Resource": []})
        arn = f"${{{name}.Arn}}"
        if {*as_list(statement["Resource"])} != {arn, f"{arn}/*"}:
            yield f"{name} can be read over plain http"
        if statement["Action"] != "s3:*":
            yield f"{name} allows all but {statement['Action']} over plain http"


@check(
    Break("inputs for ever", drop("UploadsBucket", "LifecycleConfiguration")),
    Break(
        "old versions for ever",
        drop("UploadsBucket", "LifecycleConfiguration", "Rules", 3, "NoncurrentVersionExpiration"),
    ),
    Break("no versions", drop("UploadsBucket", "VersioningConfiguration")),
    Break("results that go", drop("UploadsBucket", "LifecycleConfiguration", "Rules", 0, "Prefix")),
    Break(
        "results that stay",
        drop("UploadsBucket", "LifecycleConfiguration", "Rules", 2),
        OTHERWISE,
    ),
)
def test_inputs_go_after_the_days_that_the_parameter_says_their_old_versions_too(
    template: Template,
) -> Faults:
    days = template.parameters["InputRetentionDays"]
    for name in {_uploads_bucket(template)}:
        bucket = template.of("S3::Bucket")[name]
        if bucket.get("VersioningConfiguration") != {"Status": "Enabled"}:
            yield f"{name}: a task would be sent whatever is put in its input's place"
        rules = bucket.get("LifecycleConfiguration", {}).get("Rules", [])
        ends = {
            rule.get("Prefix"): rule["ExpirationInDays"]
            for rule in rules
            if "ExpirationInDays" in rule
        }
        wanted = {INCOMING: days, UPLOADS: days}
        if (results := template.parameters["ResultRetentionDays"]) != "0":
            wanted[OUTGOING] = results
        if ends != wanted:
            yield f"{name} keeps files for {ends}"
        if not any(
            "Prefix" not in rule
            and rule.get("NoncurrentVersionExpiration") == {"NoncurrentDays": 1}
            for rule in rules
        ):
            yield f"{name} keeps old versions: {rules}"


INPUTS_CDN = "arn:aws:cloudfront::123456789012:distribution/E1"
RESULTS_CDN = "arn:aws:cloudfront::123456789012:distribution/E2"
CDN_STATEMENT = ("PolicyDocument", "Statement", 1, "Fn::If", 1)


@check(
    Break(
        "any distribution",
        put("UploadsBucketPolicy", *CDN_STATEMENT, "Condition", to={}),
        {"InputDistributionArn": INPUTS_CDN},
    ),
    Break(
        "any distribution reads results",
        put("ResultsBucketPolicy", *CDN_STATEMENT, "Condition", to={}),
        {"ResultsDistributionArn": RESULTS_CDN},
    ),
    Break(
        "the one of inputs reads results",
        put(
            "ResultsBucketPolicy",
            *CDN_STATEMENT,
            "Condition",
            to={"StringEquals": {"aws:SourceArn": {"Ref": "InputDistributionArn"}}},
        ),
        {"InputDistributionArn": INPUTS_CDN, "ResultsDistributionArn": RESULTS_CDN},
    ),
    Break(
        "it may delete",
        put("ResultsBucketPolicy", *CDN_STATEMENT, "Action", to=["s3:GetObject", "s3:Delete*"]),
        {"ResultsDistributionArn": RESULTS_CDN},
    ),
)
def test_a_bucket_lets_in_only_the_distribution_that_was_named(
    template: Template,
) -> Faults:
    parameter = {
        "UploadsBucketPolicy": "InputDistributionArn",
        "ResultsBucketPolicy": "ResultsDistributionArn",
    }
    for name, policy in template.of("S3::BucketPolicy").items():
        for statement in policy["PolicyDocument"]["Statement"]:
            if statement["Effect"] == "Allow":
                named_one = template.parameters[parameter[name]]
                only = {"StringEquals": {"aws:SourceArn": named_one}}
                if not named_one or statement.get("Condition") != only:
                    yield f"{name} lets in {statement['Principal']}"
                if not {*as_list(statement["Action"])} <= {"s3:GetObject", "s3:GetObjectVersion"}:
                    yield f"{name} lets it {statement['Action']}"


@pytest.mark.parametrize(
    ("parameter", "bucket"),
    [
        ("InputDistributionArn", "UploadsBucketPolicy"),
        ("ResultsDistributionArn", "ResultsBucketPolicy"),
    ],
)
def test_a_distribution_that_is_named_may_read_its_bucket_alone(parameter, bucket):
    template = Template(expanded(), {parameter: INPUTS_CDN}, SOURCE.read_text())
    allowing = [
        name
        for name, policy in template.of("S3::BucketPolicy").items()
        if any(one["Effect"] == "Allow" for one in policy["PolicyDocument"]["Statement"])
    ]
    assert allowing == [bucket]


@check(
    Break(
        "another",
        allow("TasksRole", "s3:PutObject", {"Fn::Sub": "${UploadsBucket.Arn}/incoming/*"}),
    ),
)
def test_only_ingest_may_put_where_files_start_tasks(template: Template) -> Faults:
    arn = f"${{{_uploads_bucket(template)}.Arn}}/"
    for name, function in template.of("Lambda::Function").items():
        for action, resource in template.grants(function["Role"]):
            starts_none = action.startswith(("s3:Get", "s3:DeleteObjectVersion"))
            harmless = starts_none or resource == f"{arn}uploads/*"
            if function["Handler"] != "ingest.app.handler" and resource.startswith(arn):
                if not harmless:
                    yield f"{name} may {action} on {resource}"


def _uploads_bucket(template: Template) -> str:
    [bucket] = {
        named(function["Environment"]["Variables"]["UPLOADS_BUCKET"])
        for function in template.of("Lambda::Function").values()
    }
    return bucket or ""


@check(
    Break(
        "results that go",
        put(
            "ResultsBucket",
            "LifecycleConfiguration",
            to={"Rules": [{"Status": "Enabled", "ExpirationInDays": 30}]},
        ),
    ),
    Break("results that stay", drop("ResultsBucket", "LifecycleConfiguration"), OTHERWISE),
)
def test_results_expire_only_if_that_is_asked_for_and_nothing_else_does(
    template: Template,
) -> Faults:
    days = template.parameters["ResultRetentionDays"]
    buckets = {
        named(function["Environment"]["Variables"]["RESULTS_BUCKET"])
        for function in template.of("Lambda::Function").values()
    }
    for name in buckets:
        configuration = template.of("S3::Bucket")[name or ""].get("LifecycleConfiguration", {})
        rules = [
            (rule["Status"], rule.get("Prefix"), rule.get("ExpirationInDays"))
            for rule in configuration.get("Rules", [])
            if "NoncurrentVersionExpiration" not in rule
        ]
        if rules != ([] if days == "0" else [("Enabled", RESULTS_PREFIX, days)]):
            yield f"{name} forgets {rules}"


# ── Secrets ───────────────────────────────────────────────────────────────────────────────────


@check(
    Break("a fixed name", put("ProviderSecret", "Name", to="provider")),
    Break("no name", drop("CallbackSecret", "Name")),
)
def test_every_secret_is_named_after_the_stack(template: Template) -> Faults:
    """Their references differ between AWS and the emulator; their names don't."""
    for name, secret in template.of("SecretsManager::Secret").items():
        if not re.fullmatch(r"\$\{AWS::StackName\}/[a-z-]+", secret.get("Name", "")):
            yield f"{name} is named {secret.get('Name')}"


@check(
    Break(
        "another secret",
        put("WebhookSecret", "GenerateSecretString", "SecretStringTemplate", to='{"a":1}'),
    ),
    Break(
        "a longer secret", put("CallbackSecret", "GenerateSecretString", "PasswordLength", to=64)
    ),
)
def test_what_makes_a_secret_never_changes(template: Template) -> Faults:
    """Any change in here makes AWS generate another value: it would orphan every running task, and
    no receiver of webhooks would know it."""
    frozen = {
        "SecretStringTemplate": "{}",
        "GenerateStringKey": "current",
        "PasswordLength": 48,
        "ExcludePunctuation": True,
    }
    secrets = template.of("SecretsManager::Secret").items()
    generated = {n: s["GenerateSecretString"] for n, s in secrets if "GenerateSecretString" in s}
    no_punctuation = {"ExcludeCharacters": string.punctuation}
    if generated != {"CallbackSecret": frozen, "WebhookSecret": frozen | no_punctuation}:
        yield f"a generated secret is not as it was: {generated}"


@check(
    Break("an empty key", put("ProviderSecret", "SecretString", to="")),
    Break("a lost key", drop("ProviderSecret", "SecretString"), {"ProviderApiKey": "key"}),
)
def test_the_provider_secret_has_no_value_until_there_is_a_key(template: Template) -> Faults:
    """A stored empty string would read as a key; without a value the API says what to do."""
    key = template.parameters["ProviderApiKey"]
    for name, secret in template.of("SecretsManager::Secret").items():
        if "GenerateSecretString" not in secret:
            expected = f'{{"current":"{key}"}}' if key else None
            if secret.get("SecretString") != expected:
                yield f"{name} holds {secret.get('SecretString')!r}"


@check(
    Break("a key on show", drop("Parameters", "ProviderApiKey", "NoEcho")),
    Break(
        "a key in an output",
        put("Outputs", "EventBus", "Value", to={"Fn::Sub": "${ProviderApiKey}"}),
    ),
    Break("a default key", put("Parameters", "ProviderApiKey", "Default", to="sk-1")),
)
def test_a_hidden_parameter_goes_into_a_secret_and_nowhere_else(template: Template) -> Faults:
    hidden = {n for n, p in template.written["Parameters"].items() if p.get("NoEcho") is True}
    if "ProviderApiKey" not in hidden:
        yield "ProviderApiKey is shown to everybody who may look at the stack"
    for parameter in hidden:
        if template.written["Parameters"][parameter].get("Default"):
            yield f"{parameter} has a default"
        for section in ("Resources", "Outputs"):
            for name, part in template.written[section].items():
                is_secret = part.get("Type") == "AWS::SecretsManager::Secret"
                if not is_secret and re.search(rf"\b{parameter}\b", repr(part)):
                    yield f"{name} holds {parameter}"
