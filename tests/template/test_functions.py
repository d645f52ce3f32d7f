"""What every function has, and the settings that it is given."""

import re
from dataclasses import MISSING, fields

from act_one.settings import SettingError, Settings
from local.expand import load
from tests.template.checks import VARIABLES, Break, add, check, drop, put
from tests.template.deployment import SOURCE, Faults, Template, named
from tests.template.reachable_calls import Function, reached_from, source

LAYERS = ("DependenciesLayer", "ActOneLayer")
OWN_LAYERS = {"docs.app.handler": ("DocsLayer",)}
SPOOLS = Function("act_one.media.copy", "_put")
MIB = 1_048_576


def variables_of(function: dict) -> dict[str, str]:
    return function.get("Environment", {}).get("Variables", {})


@check(
    Break("another Python", put("CopyFunction", "Runtime", to="python3.12")),
    Break("another processor", put("CopyFunction", "Architectures", to=["x86_64"])),
    Break("no layers", drop("RelayFunction", "Layers")),
    Break("no pages", drop("DocsFunction", "Layers", 2)),
    Break("no memory", drop("RelayFunction", "MemorySize")),
    Break("no time-out", drop("RelayFunction", "Timeout")),
)
def test_every_function_says_how_it_runs(template: Template) -> Faults:
    for name, function in template.of("Lambda::Function").items():
        if function.get("Runtime") != "python3.13":
            yield f"{name} runs on {function.get('Runtime')}"
        if function.get("Architectures") != [template.parameters["Architecture"]]:
            yield f"{name} isn't on the architecture that the parameter says"
        layers = [named(layer) or "" for layer in function.get("Layers", [])]
        needed = [*LAYERS, *OWN_LAYERS.get(function["Handler"], ())]
        if [layer.rstrip("0123456789abcdef") for layer in layers] != needed:
            yield f"{name} has the layers {layers}"
        if not 128 <= function.get("MemorySize", 0) <= 1024:
            yield f"{name} has {function.get('MemorySize')} MB of memory"
        if not 1 <= function.get("Timeout", 0) <= 900:
            yield f"{name} has no time-out of its own"
        if not function.get("Description"):
            yield f"{name} doesn't say what it does"


def test_every_timeout_and_memory_is_written_down_and_not_aws_default():
    written = load(SOURCE)
    common = written["Globals"]["Function"]
    for name, resource in written["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            assert {"Timeout", "MemorySize"} <= common.keys() | resource["Properties"].keys(), name


@check(
    Break("five", put("CallbackFunction", "ReservedConcurrentExecutions", to=5)),
    Break("another function", put("CopyFunction", "ReservedConcurrentExecutions", to=0)),
    Break(
        "a parameter without effect",
        drop("CallbackFunction", "ReservedConcurrentExecutions"),
        {"CallbackReservedConcurrency": "5"},
    ),
)
def test_only_the_callback_reserves_concurrency_and_only_if_asked_to(template: Template) -> Faults:
    """A new account runs ten functions at once, and all of those must stay unreserved."""
    asked = template.parameters["CallbackReservedConcurrency"]
    for name, function in template.of("Lambda::Function").items():
        is_callback = function["Handler"] == "callback.app.handler"
        wanted = asked if is_callback and asked != "0" else None
        if function.get("ReservedConcurrentExecutions") != wanted:
            yield f"{name} reserves {function.get('ReservedConcurrentExecutions')}, not {wanted}"


@check(
    Break(
        "for one",
        add(
            "Layer",
            "Lambda::LayerVersion",
            CompatibleArchitectures=["arm64"],
            CompatibleRuntimes=["python3.13"],
        ),
    ),
)
def test_every_layer_is_for_both_architectures(template: Template) -> Faults:
    for name, layer in template.of("Lambda::LayerVersion").items():
        if {*layer.get("CompatibleArchitectures", [])} != {"arm64", "x86_64"}:
            yield f"{name} is for {layer.get('CompatibleArchitectures')}"
        if template.resources[name].get("Metadata", {}).get("BuildMethod") != "makefile":
            yield f"{name} is built for one of them, without bytecode"
        if layer.get("CompatibleRuntimes") != ["python3.13"]:
            yield f"{name} is for {layer.get('CompatibleRuntimes')}"


@check(
    Break("a misspelt handler", put("CopyFunction", "Handler", to="callback.copy.handle")),
)
def test_every_handler_is_there(template: Template) -> Faults:
    for name, function in template.of("Lambda::Function").items():
        module, _, handler = function["Handler"].rpartition(".")
        found = source(module)
        if found is None or handler not in found.functions:
            yield f"{name}: there is no {function['Handler']}"


@check(
    Break("Lambda's own group", drop("CopyFunction", "LoggingConfig")),
    Break(
        "another's group", put("CopyFunction", "LoggingConfig", "LogGroup", to={"Ref": "RelayLogs"})
    ),
    Break("paid START lines", drop("CopyFunction", "LoggingConfig", "SystemLogLevel")),
)
def test_every_function_logs_to_a_group_of_its_own_that_forgets(template: Template) -> Faults:
    seen: set[str | None] = set()
    for name, function in template.of("Lambda::Function").items():
        logging = function.get("LoggingConfig", {})
        group = template.the("Logs::LogGroup", logging.get("LogGroup"))
        if group is None:
            yield f"{name} has no log group of this template"
            continue
        if named(logging["LogGroup"]) in seen:
            yield f"{name} shares its log group"
        seen.add(named(logging["LogGroup"]))
        if "LogGroupName" in group:
            yield f"{name}'s log group has a fixed name"
        if (logging.get("LogFormat"), logging.get("SystemLogLevel")) != ("JSON", "WARN"):
            yield f"{name} pays for lines that say that it ran"


@check(
    Break("for ever", drop("CopyLogs", "RetentionInDays")),
)
def test_every_log_group_forgets_after_the_days_that_the_parameter_says(
    template: Template,
) -> Faults:
    for name, group in template.of("Logs::LogGroup").items():
        if group.get("RetentionInDays") != template.parameters["LogRetentionDays"]:
            yield f"{name} keeps logs for {group.get('RetentionInDays', 'ever')}"


# ── Environments ──────────────────────────────────────────────────────────────────────────────


@check(
    Break("no table", drop("CopyFunction", *VARIABLES, "TASKS_TABLE")),
    Break("no number", put("CopyFunction", *VARIABLES, "MIN_POLL_SECONDS", to="five")),
)
def test_every_function_is_given_settings_that_can_be_read(template: Template) -> Faults:
    for name, function in template.of("Lambda::Function").items():
        try:
            Settings.from_environment(variables_of(function))
        except SettingError as error:
            yield f"{name}: {error}"


@check(
    Break("no namespace", drop("SubmitFunction", *VARIABLES, "POWERTOOLS_METRICS_NAMESPACE")),
    Break(
        "two stacks in one",
        put("SubmitFunction", *VARIABLES, "POWERTOOLS_SERVICE_NAME", to="act-one"),
    ),
)
def test_every_function_writes_logs_and_metrics_under_its_stacks_name(template: Template) -> Faults:
    """The service is the one dimension of every metric; without a namespace, writing one fails."""
    for name, function in template.of("Lambda::Function").items():
        if variables_of(function).get("POWERTOOLS_METRICS_NAMESPACE") != "ActOne":
            yield f"{name} has no namespace for its metrics"
        if variables_of(function).get("POWERTOOLS_SERVICE_NAME") != "${AWS::StackName}":
            yield f"{name} shares its metrics with other stacks"


@check(
    Break("a misspelt one", put("CopyFunction", *VARIABLES, "MEDIA_BYTES", to="1")),
)
def test_no_function_is_given_a_variable_that_no_code_reads(template: Template) -> Faults:
    known = {setting.name.upper() for setting in fields(Settings)}
    for name, function in template.of("Lambda::Function").items():
        for variable in sorted(variables_of(function).keys() - known):
            if not variable.startswith("POWERTOOLS_"):
                yield f"{name} is given {variable}, which is no setting"


@check(
    Break("no callback URL", drop("FallbackFunction", *VARIABLES, "CALLBACK_BASE_URL")),
    Break("no state machine", drop("SweeperFunction", *VARIABLES, "FALLBACK_ARN")),
)
def test_every_function_is_given_the_optional_settings_that_its_code_reads(
    template: Template,
) -> Faults:
    optional = {setting.name for setting in fields(Settings) if setting.default is not MISSING}
    for name, function in template.of("Lambda::Function").items():
        for setting in sorted(reached_from(function["Handler"]).settings & optional):
            if setting.upper() not in variables_of(function):
                yield f"{name} reads {setting}, which it isn't given"


@check(
    Break(
        "the key", put("SubmitFunction", *VARIABLES, "RUNWAY_VERSION", to={"Ref": "ProviderApiKey"})
    ),
    Break(
        "not a secret's name", put("SubmitFunction", *VARIABLES, "PROVIDER_SECRET", to="sk-1234")
    ),
)
def test_no_environment_holds_a_secret(template: Template) -> Faults:
    """Whoever may see a function's configuration sees its environment."""
    secrets = {secret["Name"] for secret in template.of("SecretsManager::Secret").values()}
    theirs = {template.parameters["ProviderApiKeySecretArn"]} - {""}
    hidden = [n for n, p in template.written["Parameters"].items() if p.get("NoEcho")]
    for name, function in template.of("Lambda::Function").items():
        for variable, value in variables_of(function).items():
            if variable.endswith("_SECRET") and value not in secrets | theirs:
                yield f"{name}: {variable} names no secret of this template"
        written = template.written["Resources"][name]["Properties"]["Environment"]
        for parameter in hidden:
            if re.search(rf"\b{parameter}\b", _mentioned(written)):
                yield f"{name} is given {parameter}"


def _mentioned(value: object) -> str:
    """All that a part of the template says, in one text."""
    return repr(value)


@check(
    Break("512 MB", drop("CopyFunction", "EphemeralStorage")),
)
def test_every_function_that_spools_media_has_the_room(template: Template) -> Faults:
    largest = int(template.written["Parameters"]["MaxMediaBytes"]["MaxValue"])
    for name, function in template.of("Lambda::Function").items():
        room = function.get("EphemeralStorage", {}).get("Size", 512) * MIB
        if SPOOLS in reached_from(function["Handler"]).functions and room <= largest:
            yield f"{name} may spool {largest} bytes into {room}"
