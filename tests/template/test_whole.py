"""The template as a whole: it holds together, says what it wants, and gives what people need."""

import base64
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any
from urllib.parse import parse_qs

import pytest
import yaml
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from local.expand import expand, load
from tests.template.checks import VARIABLES, Break, add, check, drop, get_arn, put
from tests.template.deployment import OTHERWISE, SOURCE, Faults, Template, as_list, expanded

PROMISED_PARAMETERS = {
    "ProviderBaseUrl",
    "ProviderApiKey",
    "RunwayVersion",
    "CallbackBaseUrl",
    "CallbackIngress",
    "CallbackReservedConcurrency",
    "CallbackGraceSeconds",
    "PollIntervalSeconds",
    "PollMaxIntervalSeconds",
    "MinPollSeconds",
    "TaskTimeoutSeconds",
    "MaxMediaBytes",
    "AllowHttpMedia",
    "UnsafeAllowPrivateMedia",
    "ResultRetentionDays",
    "InputRetentionDays",
    "InputBaseUrl",
    "RequireTls",
    "Tracing",
    "Architecture",
}
NEEDED_OUTPUTS = {  # and what each has to say
    "ApiUrl": "https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}/v1",
    "ApiKeyId": "${ApiKey}",
    "ApiKeyCommand": "get-api-key",
    "ProviderKeyCommand": "aws secretsmanager put-secret-value",
    "ResultsBucket": "${ResultsBucket}",
    "EventBus": "${EventBus}",
    "TasksTable": "${TasksTable}",
    "MediaQueueUrl": "${MediaQueue}",
    "UploadsBucket": "${UploadsBucket}",
    "IngestQueueUrl": "${IngestQueue}",
    "IngestDeadLetterQueueUrl": "${IngestDeadLetterQueue}",
    "FallbackArn": "${Fallback}",
}


def members_in(value: Any) -> Iterator[tuple[str, Any]]:
    """List what a part of the template says, whether or not its conditions hold.

    Not what is inside a state machine's definition: its ${…} are its substitutions' business.
    """
    if isinstance(value, list):
        for item in value:
            yield from members_in(item)
    elif isinstance(value, dict):
        for key, member in value.items():
            if key != "Definition":
                yield key, member
                yield from members_in(member)


def references_in(value: Any) -> Iterator[str]:
    """List the names that a part of the template refers to."""
    for member in members_in(value):
        match member:
            case "Ref", str(name):
                yield name
            case "Fn::GetAtt", [str(name), *_]:
                yield name
            case "Fn::GetAtt", str(name):
                yield name.partition(".")[0]
            case "Fn::Sub", str(text):
                yield from names_in(text)
            case "Fn::Sub", [str(text), dict(variables)]:
                yield from (name for name in names_in(text) if name not in variables)


def names_in(text: str) -> list[str]:
    return re.findall(r"\$\{([\w:]+)", text)


def conditions_in(resource: dict[str, Any]) -> Iterator[str]:
    """List the conditions that a resource or an output asks for."""
    for member in members_in(resource):
        match member:
            case "Fn::If", [str(name), *_]:
                yield name
            case "Condition", str(name):
                yield name


# ── Holding together ──────────────────────────────────────────────────────────────────────────


@check(
    Break("no such output", put("Outputs", "EventBus", "Value", to={"Ref": "EventBuss"})),
    Break("no such resource", put("CopyFunction", *VARIABLES, "X", to=get_arn("Nothing"))),
    Break(
        "no such name in a text",
        put("CopyFunction", *VARIABLES, "X", to={"Fn::Sub": "${Nothing}/x"}),
    ),
    Break("no such condition", put("Resources", "CopyLogs", "Condition", to="CopiesAreLogged")),
    Break("nothing to wait for", put("Resources", "ApiKey", "DependsOn", to="ApiStage")),
)
def test_everything_that_is_referred_to_is_there(template: Template) -> Faults:
    written = template.written
    known = written["Resources"].keys() | written["Parameters"].keys()
    for section in ("Conditions", "Resources", "Outputs"):
        for name, part in written[section].items():
            named = {*references_in(part), *as_list(part.get("DependsOn", []))}
            for missing in sorted(n for n in named - known if not n.startswith("AWS::")):
                yield f"{name} refers to {missing}, which is not there"
            for missing in sorted({*conditions_in(part)} - written["Conditions"].keys()):
                yield f"{name} asks for the condition {missing}, which is not there"


@check(
    Break(
        "an untraced policy", put("CopyRole", "ManagedPolicyArns", to=[{"Ref": "TracingPolicy"}])
    ),
)
def test_nothing_that_is_deployed_refers_to_what_is_not(template: Template) -> Faults:
    left_out = template.written["Resources"].keys() - template.resources.keys()
    for name, part in {**template.resources, **template.outputs}.items():
        said = [member for _, member in members_in(part) if isinstance(member, str | list)]
        for missing in sorted(left_out & {*names_in(repr(said))}):
            yield f"{name} refers to {missing}, whose condition doesn't hold"


@check(
    Break(
        "in its environment",
        put(
            "CallbackFunction",
            *VARIABLES,
            "CALLBACK_BASE_URL",
            to={"Fn::GetAtt": ["CallbackUrl", "FunctionUrl"]},
        ),
    ),
    Break("by DependsOn", put("Resources", "TasksTable", "DependsOn", to=["RelayFunctionMoves"])),
)
def test_no_resource_waits_for_itself(template: Template) -> Faults:
    resources = template.written["Resources"]
    graph = {
        name: {n for n in references_in(resource) if n in resources}
        | set(as_list(resource.get("DependsOn", [])))
        for name, resource in resources.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield " → ".join(error.args[1])


def test_whatever_the_parameters_the_same_resources_come_of_it():
    assert expand(SOURCE, OTHERWISE) == expanded()


@pytest.mark.parametrize("name", ["cdn", "results-cdn", "key"])
def test_what_the_stacks_of_the_documentation_output_is_what_the_stack_takes(name):
    file = SOURCE.parent / f"docs/snippets/{name}.yaml"

    outputs = load(file)["Outputs"].keys() - {"BaseUrl", "KeyPairId"}  # these sign URLs

    assert outputs
    assert outputs <= load(SOURCE)["Parameters"].keys()


def test_the_cdn_of_results_serves_signed_urls_only():
    resources = load(SOURCE.parent / "docs/snippets/results-cdn.yaml")["Resources"]
    distribution = resources["Cdn"]["Properties"]["DistributionConfig"]

    assert "CacheBehaviors" not in distribution
    behaviour = distribution["DefaultCacheBehavior"]
    assert behaviour["TrustedKeyGroups"] == [{"Ref": "Signers"}]
    assert behaviour["ViewerProtocolPolicy"] == "https-only"
    assert behaviour["AllowedMethods"] == ["GET", "HEAD"]
    [origin] = distribution["Origins"]
    assert origin["OriginAccessControlId"] == {"Fn::GetAtt": ["AccessControl", "Id"]}
    # A query that reached S3 could be another request than the one that was signed.
    cached = resources["Cached"]["Properties"]["CachePolicyConfig"]
    forwarded = cached["ParametersInCacheKeyAndForwardedToOrigin"]
    assert forwarded["QueryStringsConfig"] == {"QueryStringBehavior": "none"}


def test_the_code_of_the_documentation_signs_urls_as_cloudfront_checks_them(tmp_path):
    text = (SOURCE.parent / "docs/operations.md").read_text()
    section = text.partition("## A CDN for results")[2].partition("\n## ")[0]
    [code] = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (tmp_path / "results-private.pem").write_bytes(pem)
    names: dict[str, Any] = {}
    exec(code.replace("results-private.pem", str(tmp_path / "results-private.pem")), names)  # noqa: S102 - our own

    url = names["signed_url"](
        "https://d1.cloudfront.net", "K1", "s3://bucket/tasks/a b/task_1/result.mp4", 1795883767
    )

    place, _, query = url.partition("?")
    assert place == "https://d1.cloudfront.net/tasks/a%20b/task_1/result.mp4"
    given = parse_qs(query)
    assert given["Key-Pair-Id"] == ["K1"]
    policy = (
        f'{{"Statement":[{{"Resource":"{place}",'
        f'"Condition":{{"DateLessThan":{{"AWS:EpochTime":{given["Expires"][0]}}}}}}}]}}'
    )
    encoded = given["Signature"][0].translate(str.maketrans("-_~", "+=/"))
    key.public_key().verify(
        base64.b64decode(encoded),
        policy.encode(),
        padding.PKCS1v15(),
        hashes.SHA1(),  # noqa: S303 - as CloudFront checks
    )
    assert given["Expires"] == ["1795883767"]


@check(
    Break("everybody's logs", add("Account", "ApiGateway::Account")),
    Break("logs of a stage", put("Apiv1Stage", "AccessLogSetting", to={"Format": "x"})),
)
def test_no_stack_changes_what_belongs_to_the_whole_account(template: Template) -> Faults:
    """API Gateway's logging role is one for all: made here, it would go for all with this stack."""
    asked = template.parameters["AccessLogs"] == "true"
    for name, resource in template.resources.items():
        if resource["Type"] == "AWS::ApiGateway::Account":
            yield f"{name} is the account's one logging role"
        if "AccessLogSetting" in resource.get("Properties", {}) and not asked:
            yield f"{name} needs the account's one logging role"


# ── Parameters and outputs ────────────────────────────────────────────────────────────────────


@check(
    Break("a renamed one", drop("Parameters", "MinPollSeconds")),
)
def test_every_promised_parameter_is_there(template: Template) -> Faults:
    for name in sorted(PROMISED_PARAMETERS - template.written["Parameters"].keys()):
        yield f"{name} is gone"


@check(
    Break(
        "a useless one",
        put("Parameters", "More", to={"Type": "String", "Default": "", "Description": "More."}),
    ),
    Break("a dumb one", drop("Parameters", "MinPollSeconds", "Description")),
    Break("any number", drop("Parameters", "MinPollSeconds", "MinValue")),
    Break("any text", drop("Parameters", "RunwayVersion", "AllowedPattern")),
)
def test_every_parameter_is_used_described_and_bounded(template: Template) -> Faults:
    written = template.written
    used = {*references_in([written["Conditions"], written["Resources"], written["Outputs"]])}
    for name, parameter in written["Parameters"].items():
        if name not in used:
            yield f"{name} does nothing"
        if not parameter.get("Description", "").endswith("."):
            yield f"{name} isn't described"
        bound = "MinValue" if parameter["Type"] == "Number" else "AllowedPattern"
        if not {bound, "AllowedValues"} & parameter.keys():
            yield f"{name} may be anything"


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("", True),
        ("https://example.com", True),
        ("https://example.com:8443/hooks/act-one", True),
        ("http://127.0.0.1:8080/", True),
        ("http://127.0.0.1", True),
        ("http://example.com/hooks", False),
        ("http://127.0.0.1.example.com/", False),
        ("http://127.0.0.1:8080@example.com/", False),
        ("https://me:secret@example.com/", False),
        ("https://example.com/?token=1", False),
        ("https:///hooks", False),
        ("HTTP://example.com/", False),
        ("example.com/hooks", False),
    ],
)
def test_a_webhook_over_plain_http_is_refused_by_the_deployment(url, allowed):
    parameter = load(SOURCE)["Parameters"]["WebhookUrl"]

    assert bool(re.fullmatch(parameter["AllowedPattern"], url)) == allowed
    assert "https" in parameter["ConstraintDescription"]


@check(
    Break("a question", drop("Parameters", "ProviderBaseUrl", "Default")),
)
def test_a_stack_can_be_deployed_without_saying_anything(template: Template) -> Faults:
    for name, parameter in template.written["Parameters"].items():
        if "Default" not in parameter:
            yield f"{name} has no default"


@check(
    Break("traces", put("Parameters", "Tracing", "Default", to="Active")),
)
def test_what_costs_extra_is_off_by_default(template: Template) -> Faults:
    if template.written["Parameters"]["Tracing"]["Default"] != "PassThrough":
        yield "tracing costs more than a third of everything else together"


@check(
    Break("a month", put("Parameters", "ResultRetentionDays", "Default", to=30)),
)
def test_results_are_kept_by_default(template: Template) -> Faults:
    if template.written["Parameters"]["ResultRetentionDays"]["Default"] != 0:
        yield "what was paid for goes"


@check(
    Break("private addresses", put("Parameters", "UnsafeAllowPrivateMedia", "Default", to="true")),
    Break(
        "a key in the open",
        put("Parameters", "ProviderBaseUrl", "Default", to="http://api.cometapi.com"),
    ),
)
def test_what_only_a_local_stack_may_do_is_off_by_default(template: Template) -> Faults:
    safe = {"RequireTls": "true", "UnsafeAllowPrivateMedia": "false", "AllowHttpMedia": "false"}
    if not template.written["Parameters"]["ProviderBaseUrl"]["Default"].startswith("https:"):
        yield "the provider's key goes over plain http"
    for name, value in safe.items():
        if template.written["Parameters"][name]["Default"] != value:
            yield f"{name} is not {value} by default"


@check(
    Break(
        "a hidden one",
        put(
            "Metadata",
            "AWS::CloudFormation::Interface",
            "ParameterGroups",
            0,
            "Parameters",
            to=["ProviderApiKey"],
        ),
    ),
)
def test_every_parameter_is_shown_in_one_group(template: Template) -> Faults:
    interface = template.written["Metadata"]["AWS::CloudFormation::Interface"]
    shown = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]
    if sorted(shown) != sorted(template.written["Parameters"]):
        yield f"not shown once: {sorted({*shown} ^ template.written['Parameters'].keys())}"


@check(
    Break("no address", drop("Outputs", "ApiUrl")),
    Break("another address", put("Outputs", "EventBus", "Value", to={"Ref": "TasksTable"})),
    Break("no words", drop("Outputs", "CallbackUrl", "Description")),
    Break("a name to hold on to", put("Outputs", "EventBus", "Export", to={"Name": "bus"})),
)
def test_every_output_that_people_need_is_there_and_described(template: Template) -> Faults:
    for name, wanted in NEEDED_OUTPUTS.items():
        if wanted not in template.outputs.get(name, {}).get("Value", ""):
            yield f"{name} doesn't hold {wanted}"
    for name, output in template.outputs.items():
        if not output.get("Description") or "Export" in output:
            yield f"{name} isn't described, or is exported under a name that others can hold on to"


def test_every_stack_of_the_documentation_is_checked_against_common_rules():
    config = yaml.safe_load((SOURCE.parent / ".checkov.yaml").read_text())
    written = {f"docs/snippets/{path.name}" for path in SOURCE.parent.glob("docs/snippets/*.yaml")}

    assert {*config["file"]} == written | {".aws-sam/expanded.json"}


def test_every_common_rule_that_is_left_out_has_a_reason():
    lines = (SOURCE.parent / ".checkov.yaml").read_text().splitlines()
    left_out = [number for number, line in enumerate(lines) if line.startswith("  - CKV_")]

    assert left_out
    assert [lines[n] for n in left_out if not lines[n - 1].startswith("  # ")] == []
    for resource in load(SOURCE)["Resources"].values():
        for skipped in resource.get("Metadata", {}).get("checkov", {}).get("skip", []):
            assert len(skipped["comment"]) > 20, skipped
