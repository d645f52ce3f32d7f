"""What organizations ask for: each parameter reaches everything that it is about, or nothing."""

import json
import re

from tests.template.checks import Break, Change, allow, check, drop, forbid, place, put, without
from tests.template.deployment import OTHERWISE, Faults, Template, as_list, named
from tests.template.test_permissions import CONNECT

KEY, SECRET = OTHERWISE["KmsKeyArn"], OTHERWISE["ProviderApiKeySecretArn"]
VIA = "{}.${{AWS::Region}}.${{AWS::URLSuffix}}"
KEPT_DAYS = 30
LOGGED = {  # what may be in an access log: nothing that a caller can put a secret into
    "requestTime",
    "requestId",
    "identity.sourceIp",
    "identity.apiKeyId",
    "httpMethod",
    "resourcePath",
    "status",
    "error.responseType",
    "wafResponseCode",
    "responseLatency",
    "responseLength",
}


# ── The boundary ──────────────────────────────────────────────────────────────────────────────


@check(
    Break("a role without", drop("CopyRole", "PermissionsBoundary"), OTHERWISE),
    Break(
        "SAM's role without",
        drop("SweepScheduleRole", "PermissionsBoundary"),
        OTHERWISE,
    ),
    Break("always", put("CopyRole", "PermissionsBoundary", to="arn:aws:iam::1:policy/any")),
)
def test_every_role_has_the_boundary_that_was_given_and_no_other(template: Template) -> Faults:
    given = template.parameters["PermissionsBoundaryArn"]
    for name, role in template.of("IAM::Role").items():
        if role.get("PermissionsBoundary", "") != given:
            yield f"{name} has the boundary {role.get('PermissionsBoundary')}"


# ── The key ───────────────────────────────────────────────────────────────────────────────────


def keys_of(template: Template) -> dict[str, object]:
    """List the KMS keys of all that holds data, by logical id; None: one of AWS's own."""
    keys: dict[str, object] = {}
    for kind, property_name in (
        ("Lambda::Function", "KmsKeyArn"),
        ("Logs::LogGroup", "KmsKeyId"),
        ("SecretsManager::Secret", "KmsKeyId"),
    ):
        keys |= {name: found.get(property_name) for name, found in template.of(kind).items()}
    for name, table in template.of("DynamoDB::Table").items():
        sse = table.get("SSESpecification", {})
        wanted = {"SSEEnabled": True, "SSEType": "KMS"}
        keys[name] = sse.get("KMSMasterKeyId") if wanted.items() <= sse.items() else None
    for name, bucket in template.of("S3::Bucket").items():
        [rule] = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        default = rule["ServerSideEncryptionByDefault"]
        by_key = default["SSEAlgorithm"] == "aws:kms" and rule.get("BucketKeyEnabled") is True
        keys[name] = default.get("KMSMasterKeyID") if by_key else None
    return keys


@check(
    Break("a table", drop("PairsTable", "SSESpecification"), OTHERWISE),
    Break(
        "a bucket",
        put(
            "UploadsBucket",
            "BucketEncryption",
            to={
                "ServerSideEncryptionConfiguration": [
                    {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
                ]
            },
        ),
        OTHERWISE,
    ),
    Break("a log group", drop("CopyLogs", "KmsKeyId"), OTHERWISE),
    Break("a secret", drop("WebhookSecret", "KmsKeyId"), OTHERWISE),
    Break("an environment", drop("CopyFunction", "KmsKeyArn"), OTHERWISE),
    Break("always", put("CopyLogs", "KmsKeyId", to=KEY)),
)
def test_everything_that_holds_data_has_the_key_that_was_given(template: Template) -> Faults:
    given = template.parameters["KmsKeyArn"] or None
    for name, key in keys_of(template).items():
        if key != given:
            yield f"{name} is encrypted by {key}, not {given}"


@check(
    Break("a customer's key", put("MediaQueue", "KmsMasterKeyId", to=KEY)),
    Break("no encryption", drop("MediaQueue", "SqsManagedSseEnabled")),
)
def test_no_queue_has_a_key_that_eventbridge_may_not_use(template: Template) -> Faults:
    for name, queue in template.of("SQS::Queue").items():
        if queue.get("SqsManagedSseEnabled") is not True or "KmsMasterKeyId" in queue:
            yield f"{name} would lose the events that a rule sends it"


def needed_of_key(template: Template, role: str) -> set[tuple[str, str]]:
    """What a role's other permissions need of the key: an action, and by way of which service."""
    needed = set()
    for action, resource in template.grants(role):
        service, _, verb = action.partition(":")
        if service == "dynamodb" and verb != "ListStreams":
            needed.add(("kms:Decrypt", "dynamodb"))
        if service == "secretsmanager" and resource != SECRET:
            needed.add(("kms:Decrypt", "secretsmanager"))
        if service == "s3" and verb.startswith("GetObject"):
            needed.add(("kms:Decrypt", "s3"))
        if service == "s3" and verb == "PutObject":
            needed.add(("kms:GenerateDataKey", "s3"))
    return needed


def granted_of_key(template: Template, role: str, key: str) -> list[tuple[str, dict]]:
    return [
        (action, statement.get("Condition", {}))
        for statement in template.statements(role)
        if key in as_list(statement["Resource"])
        for action in as_list(statement["Action"])
    ]


def use_anyhow(role: str, asked: str) -> Change:
    """Take the conditions off a role's statement about a key, found by what its presence asks."""

    def change(template: dict) -> None:
        statements = place(template, (role, "Policies", 0, "PolicyDocument", "Statement"))
        [found] = [one for one in statements if one.get("Fn::If", [None])[0] == asked]
        del found["Fn::If"][1]["Condition"]

    return change


@check(
    Break("no reads", forbid("SweeperRole", "kms:Decrypt"), OTHERWISE),
    Break("no writes", forbid("RelayRole", "kms:GenerateDataKey"), OTHERWISE),
    Break("any service", use_anyhow("SweeperRole", "OwnKey"), OTHERWISE),
    Break("more", allow("DocsRole", "kms:Decrypt", KEY), OTHERWISE),
    Break("always", allow("SweeperRole", "kms:Decrypt", KEY)),
)
def test_every_role_may_use_the_key_as_far_as_its_data_need_it(template: Template) -> Faults:
    key = template.parameters["KmsKeyArn"]
    for role in template.of("IAM::Role"):
        granted = {
            (action, via)
            for action, condition in granted_of_key(template, role, key or KEY)
            for via in as_list(condition.get("StringEquals", {}).get("kms:ViaService", "any"))
        }
        needed = needed_of_key(template, role) if key else set()
        needed = {(action, VIA.format(service)) for action, service in needed}
        if granted != needed:
            yield f"{role} may {sorted(granted)} and needs {sorted(needed)}"


# ── The provider's key in a secret of others ──────────────────────────────────────────────────


@check(
    Break("two secrets", drop("Resources", "ProviderSecret", "Condition"), OTHERWISE),
    Break("no secret", without("ProviderSecret")),
    Break("its name", put("CopyFunction", "Environment", "Variables", "PROVIDER_SECRET", to="x")),
    Break(
        "its command",
        put("Outputs", "ProviderKeyCommand", "Value", to={"Fn::Sub": "${AWS::StackName}/provider"}),
        OTHERWISE,
    ),
)
def test_a_given_secret_takes_the_place_of_the_stacks_own(template: Template) -> Faults:
    given = template.parameters["ProviderApiKeySecretArn"]
    secret = given or "${AWS::StackName}/provider"
    if ("ProviderSecret" in template.resources) == bool(given):
        yield "the stack makes its own secret beside the given one, or none at all"
    for name, function in template.of("Lambda::Function").items():
        if function["Environment"]["Variables"]["PROVIDER_SECRET"] != secret:
            yield f"{name} reads another secret"
    if f"--secret-id {secret} " not in template.outputs["ProviderKeyCommand"]["Value"]:
        yield "the command sets another secret"


@check(
    Break("any secret", use_anyhow("SubmitRole", "ProviderSecretHasKey"), OTHERWISE),
    Break("never", forbid("FallbackRole", "kms:Decrypt"), OTHERWISE),
    Break("always", allow("SubmitRole", "kms:Decrypt", OTHERWISE["ProviderApiKeySecretKmsKeyArn"])),
)
def test_the_key_of_a_given_secret_decrypts_it_alone_and_for_its_readers(
    template: Template,
) -> Faults:
    key = template.parameters["ProviderApiKeySecretKmsKeyArn"]
    wanted = {
        "StringLike": {"kms:ViaService": "secretsmanager.*.${AWS::URLSuffix}"},
        "StringEquals": {"kms:EncryptionContext:SecretARN": SECRET},
    }
    for role in template.of("IAM::Role"):
        reads = any(resource == SECRET for _, resource in template.grants(role))
        found = granted_of_key(template, role, key or OTHERWISE["ProviderApiKeySecretKmsKeyArn"])
        if found != ([("kms:Decrypt", wanted)] if reads and key else []):
            yield f"{role} may {found} with the secret's key"


# ── The network ───────────────────────────────────────────────────────────────────────────────


@check(
    Break("one outside", drop("DocsFunction", "VpcConfig"), OTHERWISE),
    Break("no way in", put("CopyRole", "ManagedPolicyArns", to=[]), OTHERWISE),
    Break(
        "code in the network", drop("NetworkPolicy", "PolicyDocument", "Statement", 2), OTHERWISE
    ),
    Break("always", drop("Resources", "NetworkPolicy", "Condition")),
)
def test_all_functions_run_in_the_subnets_that_were_given(template: Template) -> Faults:
    parameters = template.parameters
    wanted = {
        "SubnetIds": parameters["SubnetIds"],
        "SecurityGroupIds": parameters["SecurityGroupIds"],
    }
    inside = parameters["SubnetIds"] != ""
    if ("NetworkPolicy" in template.resources) != inside:
        yield "there is a policy for a VPC, or none, without reason"
    for name, function in template.of("Lambda::Function").items():
        if function.get("VpcConfig") != (wanted if inside else None):
            yield f"{name} runs in {function.get('VpcConfig')}"
        granted = {g for g in template.grants(function["Role"]) if g[0].startswith("ec2:")}
        if granted != (set(CONNECT.items()) if inside else set()):
            yield f"{name} may {granted}"
        denied = {
            action
            for statement in template.statements(function["Role"])
            if statement["Effect"] == "Deny"
            for action in as_list(statement["Action"])
            if "lambda:SourceFunctionArn" in statement["Condition"]["ArnLike"]
        }
        if inside and denied != CONNECT.keys():
            yield f"the code of {name} may use the network interfaces of others"


@check(
    Break("the API", without("ApiFirewall"), OTHERWISE),
    Break("the callbacks", without("CallbackApiFirewall"), OTHERWISE),
    Break("another list", put("ApiFirewall", "WebACLArn", to="x"), OTHERWISE),
)
def test_every_stage_has_the_web_acl_that_was_given(template: Template) -> Faults:
    given = template.parameters["WebAclArn"]
    acls = {
        association["ResourceArn"].partition("/restapis/")[2]: association["WebACLArn"]
        for association in template.of("WAFv2::WebACLAssociation").values()
    }
    for name, stage in template.of("ApiGateway::Stage").items():
        paths = {
            f"{stage['RestApiId']}/stages/{last}" for last in (stage["StageName"], f"${{{name}}}")
        }
        found = [acls[path] for path in paths & acls.keys()]
        if found != ([given] if given else []):
            yield f"{name} has the web ACLs {found}"


# ── Access logs ───────────────────────────────────────────────────────────────────────────────

FORMAT = ("AccessLogSetting", "Fn::If", 1, "Format")


@check(
    Break("the path", put("Apiv1Stage", *FORMAT, to='{"a":"$context.path"}'), OTHERWISE),
    Break(
        "the path of callbacks",
        put("CallbackApiStage", *FORMAT, to='{"a":"$context.path"}'),
        OTHERWISE,
    ),
    Break("a header", put("Apiv1Stage", *FORMAT, to='{"a":"$context.identity.apiKey"}'), OTHERWISE),
    Break("no JSON", put("Apiv1Stage", *FORMAT, to="$context.requestId"), OTHERWISE),
    Break("two lines", put("Apiv1Stage", *FORMAT, to='{"a":\n"$context.requestId"}'), OTHERWISE),
    Break("none", drop("CallbackApiStage", "AccessLogSetting"), OTHERWISE),
    Break(
        "bodies",
        put("CallbackApiStage", "MethodSettings", 0, "DataTraceEnabled", to=True),
        OTHERWISE,
    ),
    Break(
        "paths", put("CallbackApiStage", "MethodSettings", 0, "LoggingLevel", to="INFO"), OTHERWISE
    ),
)
def test_an_access_log_has_no_secret_and_is_written_only_if_asked_for(template: Template) -> Faults:
    """A callback's token is in its path, a browser's key may be in a query."""
    for name, stage in template.of("ApiGateway::Stage").items():
        setting = stage.get("AccessLogSetting")
        if (setting is not None) != (template.parameters["AccessLogs"] == "true"):
            yield f"{name} logs requests, or not, without being asked to"
        if any(
            {"DataTraceEnabled", "LoggingLevel"} & one.keys() for one in stage["MethodSettings"]
        ):
            yield f"{name} logs what requests hold"
        if setting is None:
            continue
        if template.the("Logs::LogGroup", setting["DestinationArn"]) is None:
            yield f"{name} logs to {setting['DestinationArn']}"
        variables = {*re.findall(r"\$([\w.]+)", setting["Format"])}
        for variable in variables - {f"context.{one}" for one in LOGGED}:
            yield f"{name} logs {variable}"
        try:
            json.loads(setting["Format"])
        except ValueError:
            yield f"{name} logs lines that are no JSON"
        if "\n" in setting["Format"] or "context.requestId" not in variables:
            yield f"{name} has a format that API Gateway refuses"


# ── Data that stay ────────────────────────────────────────────────────────────────────────────


@check(
    Break("one that may go", put("LedgerTable", "DeletionProtectionEnabled", to=False), OTHERWISE),
    Break("always", put("LedgerTable", "DeletionProtectionEnabled", to=True)),
)
def test_all_tables_are_protected_if_that_was_asked_for(template: Template) -> Faults:
    asked = template.parameters["DeletionProtection"] == "true"
    for name, table in template.of("DynamoDB::Table").items():
        if table["DeletionProtectionEnabled"] is not asked:
            yield f"{name} can be deleted, or not, without being asked"


@check(
    Break("no versions", drop("ResultsBucket", "VersioningConfiguration"), OTHERWISE),
    Break(
        "for ever",
        drop("ResultsBucket", "LifecycleConfiguration", "Rules", 1),
        OTHERWISE,
    ),
    Break("always", put("ResultsBucket", "VersioningConfiguration", to={"Status": "Enabled"})),
    Break("old versions that stay", forbid("EraseRole", "s3:ListBucketVersions"), OTHERWISE),
)
def test_old_versions_of_results_are_kept_if_asked_for_and_go_after_a_month(
    template: Template,
) -> Faults:
    asked = template.parameters["ResultsVersioning"] == "true"
    [name] = {
        named(function["Environment"]["Variables"]["RESULTS_BUCKET"])
        for function in template.of("Lambda::Function").values()
    }
    bucket = template.of("S3::Bucket")[name or ""]
    if bucket.get("VersioningConfiguration") != ({"Status": "Enabled"} if asked else None):
        yield f"{name} has the versions {bucket.get('VersioningConfiguration')}"
    kept = [
        (rule.get("Prefix"), rule["NoncurrentVersionExpiration"])
        for rule in bucket.get("LifecycleConfiguration", {}).get("Rules", [])
        if "NoncurrentVersionExpiration" in rule
    ]
    if kept != [(None, {"NoncurrentDays": KEPT_DAYS})]:  # always: they stay when it is turned off
        yield f"{name} keeps old versions for {kept}"
    if ("s3:ListBucketVersions", f"${{{name}.Arn}}") not in template.grants("EraseRole"):
        yield "an erasure doesn't find the old versions"
