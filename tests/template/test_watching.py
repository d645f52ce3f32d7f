"""Alarms, their mails and the dashboard: only for those who ask, and each with its section."""

import ast
import json
import re
from collections.abc import Iterator
from html import escape

import pytest
from botocore import xform_name
from botocore.session import Session

from local.deployable import deployable
from local.expand import load
from tests.template.checks import Break, add, check, drop, put
from tests.template.deployment import ROOT, SOURCE, Faults, Template, expanded, named
from tests.watching import NONE, Alarm, Point, watched_template, widgets_of
from tools.costs.prices import METRICS, WATCHED_METRICS, idle_month
from tools.dashboard_picture import lines_of, picture

KINDS = {
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::SNS::Topic",
    "AWS::SNS::TopicPolicy",
    "AWS::SNS::Subscription",
}
SECTION = re.compile(r"docs/runbook\.md#([\w-]+)$")
RUNBOOK = ROOT / "docs/runbook.md"
NOW = 1_800_000_000.0


@check(
    Break("an alarm for all", drop("Resources", "SweepAlarm", "Condition")),
    Break("a dashboard for all", drop("Resources", "Dashboard", "Condition")),
    Break("a topic for all", drop("Resources", "AlarmTopic", "Condition")),
    Break("an address", put("Parameters", "AlarmEmail", "Default", to="ops@example.com")),
    Break(
        "metrics for all",
        put("RelayFunction", "Environment", "Variables", "WATCHED", to="true"),
    ),
    Break("a paid composite", add("All", "CloudWatch::CompositeAlarm", AlarmRule="TRUE")),
)
def test_a_stack_without_an_address_has_nothing_of_it(template: Template) -> Faults:
    if template.parameters["AlarmEmail"]:
        if template.written["Parameters"]["AlarmEmail"]["Default"]:
            yield "there is an address by default"
        return
    for name, resource in template.resources.items():
        if resource["Type"].startswith(("AWS::CloudWatch::", "AWS::SNS::")):
            yield f"{name} is there, and costs"
    for name, function in template.of("Lambda::Function").items():
        if function["Environment"]["Variables"]["WATCHED"] != "false":
            yield f"{name} writes metrics that nothing reads"


@check(
    Break("no mail", drop("SweepAlarm", "AlarmActions"), {"AlarmEmail": "ops@example.com"}),
    Break(
        "no section",
        put("SweepAlarm", "AlarmDescription", to="No sweep."),
        {"AlarmEmail": "ops@example.com"},
    ),
    Break(
        "missing data by default",
        drop("SweepAlarm", "TreatMissingData"),
        {"AlarmEmail": "ops@example.com"},
    ),
    Break(
        "a name of its own",
        put("SweepAlarm", "AlarmName", to="sweep"),
        {"AlarmEmail": "ops@example.com"},
    ),
)
def test_every_alarm_mails_and_says_what_it_means(template: Template) -> Faults:
    for name, alarm in template.of("CloudWatch::Alarm").items():
        if alarm.get("AlarmActions") != ["${AlarmTopic}"]:
            yield f"{name} mails to {alarm.get('AlarmActions')}"
        description = alarm.get("AlarmDescription", "")
        if not SECTION.search(description) or len(description) > 1024:
            yield f"{name} names no section of the runbook"
        if "TreatMissingData" not in alarm:
            yield f"{name} doesn't say what missing data mean"
        if "AlarmName" in alarm:
            yield f"{name} has a name that a second stack would want"


@check(
    Break(
        "any alarm",
        drop("AlarmTopicPolicy", "PolicyDocument", "Statement", 0, "Condition", "ArnLike"),
        {"AlarmEmail": "ops@example.com"},
    ),
    Break(
        "any account",
        drop("AlarmTopicPolicy", "PolicyDocument", "Statement", 0, "Condition", "StringEquals"),
        {"AlarmEmail": "ops@example.com"},
    ),
    Break(
        "anybody",
        put("AlarmTopicPolicy", "PolicyDocument", "Statement", 0, "Principal", to="*"),
        {"AlarmEmail": "ops@example.com"},
    ),
    Break(
        "nobody's mail",
        put("AlarmSubscription", "Endpoint", to="me@example.com"),
        {"AlarmEmail": "ops@example.com"},
    ),
)
def test_only_alarms_of_this_stack_may_mail_and_only_to_the_address(template: Template) -> Faults:
    for policy in template.of("SNS::TopicPolicy").values():
        [statement] = policy["PolicyDocument"]["Statement"]
        asked = statement.get("Condition", {})
        if statement["Principal"] != {"Service": "cloudwatch.amazonaws.com"}:
            yield "others than CloudWatch may mail"
        source = asked.get("ArnLike", {}).get("aws:SourceArn", "")
        if not source.endswith(":${AWS::AccountId}:alarm:${AWS::StackName}-*"):
            yield "alarms of other stacks may mail"
        if asked.get("StringEquals") != {"aws:SourceAccount": "${AWS::AccountId}"}:
            yield "alarms of other accounts may mail"
    for subscription in template.of("SNS::Subscription").values():
        if subscription["Endpoint"] != template.parameters["AlarmEmail"]:
            yield "the mail goes to another address"


@check(
    Break(
        "a misspelt queue",
        put("MediaDeadLetterAlarm", "Dimensions", to=[{"Name": "QueueName", "Value": "media"}]),
        {"AlarmEmail": "ops@example.com"},
    ),
    Break(
        "a queue's URL",
        put(
            "MediaDeadLetterAlarm",
            "Dimensions",
            to=[{"Name": "QueueName", "Value": {"Ref": "MediaDeadLetterQueue"}}],
        ),
        {"AlarmEmail": "ops@example.com"},
    ),
    Break("an unwatched queue", drop("Resources", "UndeliveredAlarm"), {"AlarmEmail": "a@b.cc"}),
)
def test_alarms_are_about_resources_of_this_stack_and_every_queue_of_failures_has_one(
    template: Template,
) -> Faults:
    kinds = {
        "QueueName": "SQS::Queue",
        "FunctionName": "Lambda::Function",
        "BucketName": "S3::Bucket",
    }
    watched = set()
    for name, alarm in template.of("CloudWatch::Alarm").items():
        for dimension in alarm.get("Dimensions", ()):
            if kind := kinds.get(dimension["Name"]):
                value, found = dimension["Value"], named(dimension["Value"])
                if found not in template.of(kind) or (".QueueName" in value) != ("SQS" in kind):
                    yield f"{name} is about {value}"
                watched.add(found)
    if not template.of("CloudWatch::Alarm"):
        return
    for name, queue in template.of("SQS::Queue").items():
        if "RedrivePolicy" not in queue and name not in watched:
            yield f"{name} fills up unseen"


def test_an_alarm_of_the_budget_is_there_only_with_a_budget():
    alarms = {
        budget: watched_template(DailyBudgetUsd=budget).of("CloudWatch::Alarm")
        for budget in ("0", "100")
    }

    assert alarms["100"].keys() - alarms["0"].keys() == {"BudgetAlarm"}


def test_the_emulator_is_spared_only_what_it_does_not_know():
    whole = load(SOURCE)["Resources"]
    left_out = whole.keys() - deployable(SOURCE)["Resources"].keys()

    assert {whole[name]["Type"] for name in left_out} == {
        "AWS::CloudWatch::Alarm",
        "AWS::Logs::QueryDefinition",
    }
    assert {name for name in left_out if name.endswith("Alarm")} == {
        *("CallbacksMissedAlarm", "CallbacksAllMissedAlarm", "ConcurrencyAlarm"),
    }


# ── What it costs ─────────────────────────────────────────────────────────────────────────────


def test_the_page_of_costs_counts_the_alarms_of_the_template():
    page = (ROOT / "docs/costs.md").read_text()

    # What a sweep asks for is counted by `make costs`; the two sums with it are in the page only.
    watching = [line for line in idle_month({}, expanded()).splitlines() if "**" not in line]
    assert [line for line in watching if "sweeper" not in line] == [
        line
        for line in page[page.index("## An idle month") :].splitlines()
        if "**" not in line and "sweeper" not in line
    ]


def metrics_written_in(source: str) -> Iterator[str]:
    """List the names that are added as metrics, or stand before a unit in a tuple."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(ast.Attribute(_, "add_metric"), [name, *_]):
                pass
            case ast.Tuple([name, ast.Attribute(ast.Name("MetricUnit")), _]):
                pass
            case _:
                continue
        yield from (
            one.value
            for one in ast.walk(name)
            if isinstance(one, ast.Constant) and isinstance(one.value, str)
        )


def test_the_page_of_costs_counts_the_metrics_that_the_code_writes():
    text = (ROOT / "docs/operations.md").read_text()
    always, watched = re.search(
        r"Metrics are in the namespace(.*?)With `AlarmEmail`(.*?)\n\n", text, re.DOTALL
    ).groups()
    sources = [
        source.read_text()
        for folder in ("functions", "layers/act_one")
        for source in (ROOT / folder).rglob("*.py")
    ]

    listed = [
        {name for name in re.findall(r"`([A-Z]\w+)`", part) if f'"{name}"' in "".join(sources)}
        for part in (always, watched)
    ]

    written = {name for source in sources for name in metrics_written_in(source)}
    assert listed[0] | listed[1] == written
    assert [len(names) for names in listed] == [METRICS, WATCHED_METRICS]


# ── The dashboard ─────────────────────────────────────────────────────────────────────────────


def test_the_dashboard_shows_this_stack_without_overlaps():
    dashboard = watched_template().of("CloudWatch::Dashboard")["Dashboard"]
    body = json.loads(dashboard["DashboardBody"])
    widgets = widgets_of(dashboard["DashboardBody"])

    assert dashboard["DashboardName"] == "${AWS::StackName}-${AWS::Region}"
    assert {one["properties"]["region"] for one in body["widgets"]} == {"${AWS::Region}"}
    cells = [
        (column + across, row + down)
        for column, row, width, height in (one.place for one in widgets)
        for across in range(width)
        for down in range(height)
    ]
    assert len(cells) == len(set(cells))
    assert max(column for column, _ in cells) == 23
    functions = watched_template().of("Lambda::Function")
    shown = {
        name
        for widget in widgets
        for query in widget.queries
        for name in (named(value) for _, value in query.dimensions)
        if name
    }
    assert functions.keys() <= shown
    assert shown <= watched_template().resources.keys()


def test_the_picture_of_the_dashboard_is_of_this_one():
    drawn = (ROOT / "docs/dashboard.svg").read_text()
    body = watched_template().of("CloudWatch::Dashboard")["Dashboard"]["DashboardBody"]

    for widget in widgets_of(body):
        for text in (widget.title, *widget.labels.values()):
            assert f">{escape(text)}</text>" in drawn


def test_a_picture_shows_the_values_of_a_dashboard():
    body = watched_template().of("CloudWatch::Dashboard")["Dashboard"]["DashboardBody"]
    own = frozenset({("service", "${AWS::StackName}")})
    points = [Point("ActOne", "TaskSeconds", own, NOW + second, second) for second in range(60)]
    [times] = [one for one in widgets_of(body) if "copy p90" in one.labels.values()]

    lines = lines_of(times, points, NOW, NOW + 60)
    drawn = picture([times], points, NOW, NOW + 60)

    assert lines["task p50"][0] == (0.0, 2.0)
    assert lines["task p90"][-1] == (55.0, 59.0)
    assert lines["copy p50"] == []
    assert drawn.count("<polyline") == 2
    assert ">59</text>" in drawn
    assert "not measured" in picture([times], [], NOW, NOW + 60)


# ── The runbook ───────────────────────────────────────────────────────────────────────────────


def sections() -> dict[str, str]:
    """The runbook's sections by their anchors."""
    parts = re.split(r"^## (.+)$", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]
    return {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-"): text
        for title, text in zip(parts[::2], parts[1::2], strict=True)
    }


def test_every_alarm_has_a_section_of_the_runbook_and_every_section_an_alarm():
    alarms = watched_template().of("CloudWatch::Alarm")
    named_by = {SECTION.search(one["AlarmDescription"])[1]: name for name, one in alarms.items()}
    found = sections()
    del found["the-dashboard"]

    assert len(named_by) == len(alarms)
    assert found.keys() == named_by.keys()
    for anchor, text in found.items():
        assert text.lstrip().startswith(f"`{named_by[anchor]}`")
        for part in ("- Look: ", "- Do: ", "- It ends "):
            assert text.count(f"\n{part}") == 1, f"{anchor}: {part}"


def test_every_alarm_is_provoked_by_one_test():
    tests = [ROOT / "tests/e2e/test_watching.py", ROOT / "tests/template/test_watching.py"]
    marks = [re.findall(r"^@provokes\((.*)\)$", one.read_text(), re.MULTILINE) for one in tests]
    provoked = [name for mark in marks for names in mark for name in re.findall(r"\w+", names)]

    assert sorted(provoked) == sorted(watched_template().of("CloudWatch::Alarm"))


def commands() -> list[tuple[str, str, list[str]]]:
    """The runbook's calls of the AWS CLI: service, operation and options."""
    text = RUNBOOK.read_text().replace("\\\n", " ")
    found = re.findall(r"\baws ([\w-]+) ([\w-]+)([^`\n]*)", text)
    return [(service, one, re.findall(r"--([\w-]+)", rest)) for service, one, rest in found]


@pytest.mark.parametrize(
    ("service", "operation", "options"), commands(), ids=lambda part: part or "none"
)
def test_every_command_of_the_runbook_is_one_of_the_cli(service, operation, options):
    if service == "s3":  # a command of the CLI's own
        assert (operation, options) == ("ls", ["recursive"])
        return
    model = Session().get_service_model(service)
    [shape] = [
        model.operation_model(name).input_shape
        for name in model.operation_names
        if xform_name(name, "-") == operation
    ]

    known = {xform_name(member, "-") for member in shape.members}

    assert {*options} - known <= {"query", "output"}
    given = {*options} | ({"function-name"} if operation == "get-account-settings" else set())
    assert {xform_name(member, "-") for member in shape.required_members} <= given


# ── Alarms that the emulator can't be brought to ──────────────────────────────────────────────


def provokes(alarm: str):
    """Name the alarm that a test is about, as in the end-to-end tests."""
    return pytest.mark.parametrize("alarm", [alarm])


@provokes("RelayLagAlarm")
def test_a_relay_that_lags(alarm):
    lag = Alarm(alarm, {"RelayFunction": "relay"})
    own = frozenset({("FunctionName", "relay")})

    def ages(*minutes_and_values):
        return [
            Point("AWS/Lambda", "IteratorAge", own, NOW - 60 * ago, value)
            for ago, value in minutes_and_values
        ]

    assert lag.state([], NOW) == "OK"
    assert lag.state(ages((9, 400), (6, 90_000), (1, 299_999)), NOW) == "OK"
    assert lag.state(ages((9, 400), (1, 900_000)), NOW) == "OK"
    assert lag.state(ages((9, 300_000), (6, 20), (1, 500_000)), NOW) == "ALARM"
    assert lag.state(ages((9, 300_000), (1, 500_000)), NOW + 300) == "OK"


@provokes("ConcurrencyAlarm")
def test_most_of_the_concurrency_is_used(alarm):
    share = Alarm(alarm, {}, quota=10.0)

    def used(*values):
        return [
            Point("AWS/Lambda", "ConcurrentExecutions", NONE, NOW - 60 * ago - 1, value)
            for ago, value in enumerate(values)
        ]

    assert share.state([], NOW) == "OK"
    assert share.state(used(9, 9, 7, 7, 7, 10), NOW) == "OK"
    assert share.state(used(9, 7, 8, 7, 10), NOW) == "ALARM"
    assert share.state(used(9, 9, 9), NOW) == "ALARM"
    assert Alarm(alarm, {}, quota=1000.0).state(used(99, 99, 99, 99, 99), NOW) == "OK"


def test_few_results_are_no_share():
    share = Alarm("CallbacksMissedAlarm", {"AWS::StackName": "stack"})
    row = Alarm("CallbacksAllMissedAlarm", {"AWS::StackName": "stack"})
    own = frozenset({("service", "stack")})

    def results(*missed):
        return [
            Point("ActOne", "CallbacksMissed", own, NOW - 1 - 60 * ago, value)
            for ago, value in enumerate(missed)
        ]

    assert [alarm.state([], NOW) for alarm in (share, row)] == ["OK", "OK"]
    assert share.state(results(*[1] * 9), NOW) == "OK"
    assert share.state(results(1, 1, *[0] * 8), NOW) == "ALARM"
    assert share.state(results(1, 1, *[0] * 9), NOW) == "OK"
    assert row.state(results(1, 1), NOW) == "OK"
    assert row.state(results(1, 1, 1), NOW) == "ALARM"
    assert row.state(results(1, 1, 1, 0), NOW) == "OK"


def test_the_kinds_that_cost_are_those_of_the_section():
    conditional = {
        name: resource["Type"]
        for name, resource in expanded()["Resources"].items()
        if resource.get("Condition") in {"Watched", "BudgetWatched"}
    }

    assert set(conditional.values()) == KINDS
