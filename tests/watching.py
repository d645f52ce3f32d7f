"""Alarms and metrics as CloudWatch has them: what a stack wrote, and what an alarm makes of it.

The evaluation is a model of CloudWatch's: periods end at the moment that is asked about, and an
alarm looks at its evaluation periods only, not at older ones in place of missing ones.
"""

import ast
import json
import math
import operator
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from local.emulator import REGION
from local.stack import LocalStack
from tests.template.deployment import SOURCE, Template, expanded

type Dimensions = frozenset[tuple[str, str]]

NONE: Dimensions = frozenset()
COMPARISONS = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


@dataclass(frozen=True, slots=True)
class Point:
    """A value of a metric, written ``at`` (epoch seconds)."""

    namespace: str
    name: str
    dimensions: Dimensions
    at: float
    value: float


def watched_template(**parameters: str) -> Template:
    """Return the template of a stack with alarms, and with a budget."""
    given = {"AlarmEmail": "ops@example.com", "DailyBudgetUsd": "100", **parameters}
    return Template(expanded(), given, SOURCE.read_text())


# ── Statistics of periods ─────────────────────────────────────────────────────────────────────


def statistic(name: str, values: Sequence[float]) -> float | None:
    """Compute a statistic of a period's values; None: there is no datapoint."""
    if not values:
        return None
    match name:
        case "Sum":
            return math.fsum(values)
        case "SampleCount":
            return float(len(values))
        case "Average":
            return math.fsum(values) / len(values)
        case "Maximum":
            return max(values)
        case "Minimum":
            return min(values)
    rank = math.ceil(len(values) * float(name.removeprefix("p")) / 100)
    return sorted(values)[max(rank, 1) - 1]


@dataclass(frozen=True)
class Query:
    """A member of an alarm's or a widget's metrics: a metric's statistic, or an expression."""

    id: str
    namespace: str = ""
    name: str = ""
    dimensions: Dimensions = NONE
    stat: str = "Average"
    expression: str = ""
    quota: float | None = None
    """What ``SERVICE_QUOTA`` of this metric returns."""

    def value(
        self, points: Iterable[Point], begin: float, end: float, others: Mapping[str, "Query"]
    ) -> float | None:
        """Compute the datapoint of the period from ``begin`` up to ``end``."""
        if self.expression:
            return self._computed(points, begin, end, others)
        mine = (self.namespace, self.name, self.dimensions)
        values = [
            one.value
            for one in points
            if begin <= one.at < end and (one.namespace, one.name, one.dimensions) == mine
        ]
        return statistic(self.stat, values)

    def _computed(
        self, points: Iterable[Point], begin: float, end: float, others: Mapping[str, "Query"]
    ) -> float | None:
        tree = ast.parse(self.expression, mode="eval").body
        named = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & others.keys()
        known = {name: others[name].value(points, begin, end, others) for name in named}
        if any(value is None for value in known.values()):
            return None
        return _evaluated(tree, known, {name: others[name].quota for name in named})


def _evaluated(
    node: ast.expr, known: Mapping[str, float], quotas: Mapping[str, float | None]
) -> float | None:
    operators = {
        ast.Mult: operator.mul,
        ast.Div: operator.truediv,
        ast.Sub: operator.sub,
        ast.Add: operator.add,
        ast.GtE: operator.ge,
        ast.Eq: operator.eq,
    }
    match node:
        case ast.Constant(value):
            return float(value)
        case ast.Name(name):
            return known[name]
        case ast.BinOp(left, op, right) | ast.Compare(left, [op], [right]):
            values = (_evaluated(left, known, quotas), _evaluated(right, known, quotas))
            return None if None in values else float(operators[type(op)](*values))
        case ast.Call(ast.Name("IF"), [condition, then, otherwise]):
            chosen = then if _evaluated(condition, known, quotas) else otherwise
            return _evaluated(chosen, known, quotas)
        case ast.Call(ast.Name("SERVICE_QUOTA"), [ast.Name(name)]):
            return quotas[name]
    message = f"teach this module what {ast.unparse(node)} means"
    raise NotImplementedError(message)


# ── Alarms ────────────────────────────────────────────────────────────────────────────────────


class Alarm:
    """An alarm of the expanded template, over metrics of a stack whose names are known."""

    def __init__(
        self,
        logical_id: str,
        names: Mapping[str, str],
        template: Template | None = None,
        quota: float | None = None,
    ) -> None:
        found = (template or watched_template()).of("CloudWatch::Alarm")[logical_id]
        self.properties: dict[str, Any] = physical(found, names)
        self.quota = quota

    @cached_property
    def queries(self) -> dict[str, Query]:
        if "Metrics" not in self.properties:
            return {"m": self._query({"Id": "m", "MetricStat": {
                "Metric": self.properties, "Stat": self.properties["Statistic"],
            }})}  # fmt: skip
        return {one["Id"]: self._query(one) for one in self.properties["Metrics"]}

    def _query(self, written: Mapping[str, Any]) -> Query:
        if "Expression" in written:
            return Query(written["Id"], expression=written["Expression"])
        metric = written["MetricStat"]["Metric"]
        dimensions = frozenset((one["Name"], one["Value"]) for one in metric.get("Dimensions", ()))
        names = (metric["Namespace"], metric["MetricName"], dimensions)
        return Query(written["Id"], *names, written["MetricStat"]["Stat"], quota=self.quota)

    @property
    def period(self) -> float:
        """The seconds of a period: that of all its metrics."""
        [period] = {
            float(one["MetricStat"]["Period"])
            for one in self.properties.get("Metrics", ())
            if "MetricStat" in one
        } or {float(self.properties["Period"])}
        return period

    def datapoints(self, points: Iterable[Point], now: float) -> list[float | None]:
        """Return the datapoints of the evaluation periods up to now, the newest first."""
        [shown] = [
            one["Id"] for one in self.properties.get("Metrics", ()) if one.get("ReturnData", True)
        ] or ["m"]
        points = list(points)
        ends = [now - n * self.period for n in range(int(self.properties["EvaluationPeriods"]))]
        return [
            self.queries[shown].value(points, end - self.period, end, self.queries) for end in ends
        ]

    def state(self, points: Iterable[Point], now: float, before: str = "OK") -> str:
        """Return ``OK`` or ``ALARM``; ``before`` is the state that ``ignore`` keeps."""
        compare = COMPARISONS[self.properties["ComparisonOperator"]]
        threshold = float(self.properties["Threshold"])
        found = self.datapoints(points, now)
        missing = self.properties["TreatMissingData"]
        assert missing in {"breaching", "notBreaching", "ignore"}
        if missing == "ignore" and all(value is None for value in found):
            return before
        breaching = [
            missing == "breaching" if value is None else compare(value, threshold)
            for value in found
        ]
        needed = int(self.properties.get("DatapointsToAlarm", len(found)))
        return "ALARM" if sum(breaching) >= needed else "OK"


def physical(value: Any, names: Mapping[str, str]) -> Any:
    """Replace references to resources, such as "${Queue.QueueName}", by names of a real stack."""
    match value:
        case dict():
            return {key: physical(member, names) for key, member in value.items()}
        case list():
            return [physical(member, names) for member in value]
        case str():
            return re.sub(r"\$\{([\w:.]+)\}", lambda found: names.get(found[1], found[0]), value)
    return value


# ── The dashboard ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Widget:
    """A graph of the dashboard: its place in the grid, and its lines with their labels."""

    title: str
    place: tuple[int, int, int, int]
    """Column, row, width and height, of 24 columns."""
    period: float
    queries: tuple[Query, ...]
    labels: Mapping[str, str]
    """Of the lines that are shown, by their ids."""


def widgets_of(body: str) -> list[Widget]:
    """Read a dashboard's body."""
    return [_widget(one) for one in json.loads(body)["widgets"]]


def _widget(written: Mapping[str, Any]) -> Widget:
    properties = written["properties"]
    queries, labels = [], {}
    for number, entry in enumerate(properties["metrics"]):
        options = entry[-1] if isinstance(entry[-1], dict) else {}
        name = options.get("id", f"m{number}")
        if "expression" in options:
            queries.append(Query(name, expression=options["expression"]))
        else:
            namespace, metric, *rest = [one for one in entry if isinstance(one, str)]
            dimensions = frozenset(zip(rest[::2], rest[1::2], strict=True))
            stat = options.get("stat", properties["stat"])
            queries.append(Query(name, namespace, metric, dimensions, stat))
        if options.get("visible", True):
            labels[name] = options["label"]
    return Widget(
        title=properties["title"],
        place=(written["x"], written["y"], written["width"], written["height"]),
        period=float(properties["period"]),
        queries=tuple(queries),
        labels=labels,
    )


# ── What a stack wrote ────────────────────────────────────────────────────────────────────────


class Watch:
    """The metrics of a local stack, from where they really are.

    Those of the functions' code are in the log lines that CloudWatch reads them from; the emulator
    keeps Lambda's own; what AWS measures otherwise is asked of the queues and buckets themselves.
    """

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        self.names = self._names()
        self.sampled: list[Point] = []

    def _names(self) -> dict[str, str]:
        pages = self.stack.client("cloudformation").get_paginator("list_stack_resources")
        names = {"AWS::StackName": self.stack.stack_name, "AWS::Region": self.stack.region}
        for page in pages.paginate(StackName=self.stack.stack_name):
            for one in page["StackResourceSummaries"]:
                logical, found = one["LogicalResourceId"], one["PhysicalResourceId"]
                names[logical] = found
                names[f"{logical}.QueueName"] = found.rpartition("/")[2]
        return names

    def points(self) -> list[Point]:
        """Return everything written so far, and a new sample of every queue and bucket."""
        self.sample()
        return [*self.written(), *self.measured(), *self.sampled]

    def lines(self, suffix: str = "Logs") -> list[dict[str, Any]]:
        """Return the JSON objects in the log groups whose logical ids end so."""
        logs = self.stack.client("logs")
        groups = [name for logical, name in self.names.items() if logical.endswith(suffix)]
        return [
            json.loads(event["message"])
            for group in groups
            for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group)
            for event in page["events"]
            if event["message"].startswith("{")
        ]

    def written(self) -> list[Point]:
        """Return the metrics in the log lines of the functions."""
        return [point for line in self.lines() if "_aws" in line for point in points_of(line)]

    def measured(self) -> list[Point]:
        """Return what the emulator measures as Lambda does; AWS also adds all functions up."""
        cloudwatch = self.stack.client("cloudwatch")
        now = time.time()
        found: list[Point] = []
        for metric in cloudwatch.list_metrics(Namespace="AWS/Lambda")["Metrics"]:
            answer = cloudwatch.get_metric_statistics(
                Namespace="AWS/Lambda",
                MetricName=metric["MetricName"],
                Dimensions=metric["Dimensions"],
                StartTime=now - 3600,
                EndTime=now + 60,
                Period=1,
                Statistics=["Average", "Sum"],
            )
            counts = metric["MetricName"] != "Duration"
            own = frozenset((one["Name"], one["Value"]) for one in metric["Dimensions"])
            found += [
                Point(
                    "AWS/Lambda",
                    metric["MetricName"],
                    dimensions,
                    one["Timestamp"].timestamp(),
                    one["Sum" if counts else "Average"],
                )
                for one in answer["Datapoints"]
                for dimensions in (own, NONE)
            ]
        return found

    def sample(self) -> None:
        """Measure the queues and the buckets, as SQS and S3 do."""
        now = time.time()
        s3 = self.stack.client("s3")
        for logical, found in self.names.items():
            if logical.endswith("Queue"):
                own = frozenset({("QueueName", self.names[f"{logical}.QueueName"])})
                name = "ApproximateNumberOfMessagesVisible"
                self.sampled.append(Point("AWS/SQS", name, own, now, self.waiting(logical)))
            elif logical.endswith("Bucket"):
                objects = s3.list_objects_v2(Bucket=found)["KeyCount"]
                own = frozenset({("BucketName", found), ("StorageType", "AllStorageTypes")})
                if objects:
                    self.sampled.append(Point("AWS/S3", "NumberOfObjects", own, now, objects))

    def waiting(self, queue: str) -> int:
        """Return how many messages a queue shows to its readers."""
        counts = self.stack.client("sqs").get_queue_attributes(
            QueueUrl=self.names[queue], AttributeNames=["ApproximateNumberOfMessages"]
        )
        return int(counts["Attributes"]["ApproximateNumberOfMessages"])

    def alarm(self, logical_id: str, **more: Any) -> Alarm:
        return Alarm(logical_id, self.names, **more)

    def widgets(self) -> list[Widget]:
        """Return the dashboard as it was deployed."""
        name = f"{self.stack.stack_name}-{REGION}"
        answer = self.stack.client("cloudwatch").get_dashboard(DashboardName=name)
        return widgets_of(answer["DashboardBody"])


def points_of(line: Mapping[str, Any]) -> list[Point]:
    """Read a log line in CloudWatch's embedded metric format."""
    return [
        Point(
            directive["Namespace"],
            metric["Name"],
            frozenset((name, line[name]) for name in dimensions),
            line["_aws"]["Timestamp"] / 1000,
            float(value),
        )
        for directive in line["_aws"]["CloudWatchMetrics"]
        for dimensions in directive["Dimensions"]
        for metric in directive["Metrics"]
        for value in line[metric["Name"]]
    ]
