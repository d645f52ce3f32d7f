"""Transfers through the whole stack, one scenario each way that the provider can behave.

All are submitted at the start and run side by side; each test looks at one of them. The provider's
own bill says how many creates were paid for.
"""

import json
import time
from collections import defaultdict
from dataclasses import dataclass

import pytest
import requests

from act_one.keys import Keys
from act_one.provider.callback_token import callback_url
from act_one.tasks.rows import read_item
from act_one.tasks.task import Stage
from tests.schemas import faults_of
from tests.sizes import FULL

APART = 0.4
"""Seconds between submissions: two cores can't start workers for all at the same moment."""
SETTLES_WITHIN = 240


@dataclass(frozen=True, kw_only=True)
class Scenario:
    behaviour: str
    stage: str = "succeeded"
    settled_by: str | None = "callback"
    """None: either of the two paths may be first."""
    billing: str = "charged"
    creates: int = 1
    error: str | None = None
    warning: str | None = None


def succeeds(behaviour: str, settled_by: str | None = "callback", **more) -> Scenario:
    return Scenario(behaviour=f"seconds=1&{behaviour}", settled_by=settled_by, **more)


def fails(behaviour: str, error: str, settled_by: str | None = "callback", **more) -> Scenario:
    return Scenario(
        behaviour=f"seconds=1&{behaviour}",
        stage="failed",
        settled_by=settled_by,
        error=error,
        **more,
    )


def rejected(create: str) -> Scenario:
    return fails(
        f"create={create}", "provider_rejected", settled_by=None, billing="none", creates=0
    )


def unconfirmed(create: str) -> Scenario:
    """The create's outcome is unknown; the callback tells the id."""
    return succeeds(f"create={create}", warning="create_unconfirmed")


SCENARIOS = {
    "normal": succeeds("callback=once"),
    "callback_on_every_change": Scenario(
        behaviour="seconds=5&running_after=2&callback=every_change"
    ),
    "guide_body": succeeds("callback_body=guide"),
    "feed_flat": succeeds("feed=flat"),
    "feed_legacy": succeeds("feed=legacy"),
    "feed_upstream": succeeds("nested=upstream"),
    "feed_nested_stale": succeeds("feed_fault=stale_nested"),
    "callback_lost": succeeds("callback=lost", "fallback"),
    "callback_lost_feed_flat": succeeds("callback=lost&feed=flat", "fallback"),
    "callback_late": succeeds("callback=late&late_seconds=45", "fallback"),
    "callback_twice": succeeds("callback=twice"),
    "callback_twice_at_once": succeeds("callback=twice_at_once"),
    "callback_before_the_reply": succeeds("callback=early", None),
    "callback_malformed": succeeds("callback=malformed"),
    "callback_empty": succeeds("callback=empty"),
    "callback_huge": succeeds("callback=huge"),
    "callback_with_a_foreign_id": succeeds("callback=foreign"),
    "callback_with_the_upstream_id": succeeds("callback=upstream_id"),
    "callback_lies_too_early": succeeds("callback=lying", None),
    "callback_lies_of_a_failure": fails("callback=lying&result=failed", "provider_failed", None),
    "feed_down_for_a_while": succeeds("feed_fault=error_500&feed_fault_seconds=15", None),
    "feed_hangs_for_a_while": succeeds("feed_fault=timeout&feed_fault_seconds=15", None),
    "feed_answers_html": succeeds("feed_fault=html&feed_fault_seconds=15", None),
    "feed_lags": succeeds("feed_fault=lagging&feed_fault_seconds=8", None),
    "feed_lies": succeeds("feed_fault=lying&feed_fault_seconds=8", None),
    "feed_says_unknown_words": succeeds("feed_fault=unknown_status&feed_fault_seconds=5", None),
    "provider_fails": fails("result=failed", "provider_failed"),
    "provider_fails_and_never_calls": fails(
        "result=failed&callback=lost", "provider_failed", "fallback"
    ),
    "provider_cancels": fails("result=canceled", "provider_canceled"),
    "provider_expires": fails("result=expired", "provider_expired"),
    "rejected": rejected("rejected"),
    "rejected_in_200": rejected("rejected_in_200"),
    "invalid_request_500": rejected("invalid_request_500"),
    "throttled_once": succeeds(
        "create=throttled&create_times=1&retry_after=1", warning="provider_refused"
    ),
    "saturated_once": succeeds("create=saturated&create_times=1", warning="provider_refused"),
    "key_refused_once": succeeds(
        "create=unauthorized&create_times=1", warning="provider_key_refused"
    ),
    "create_slow": succeeds("create=slow&create_seconds=2", None),
    "create_cut_after_the_task": unconfirmed("cut_after"),
    "create_cut_in_its_reply": unconfirmed("cut_mid_reply"),
    "create_garbage": unconfirmed("garbage"),
    "create_without_id": unconfirmed("no_id"),
    "create_cut_before_the_task": Scenario(
        behaviour="create=cut_before",
        stage="expired",
        settled_by=None,
        billing="unknown",
        creates=0,
        error="no_result_in_time",
    ),
    "create_cut_and_callback_lost": Scenario(
        behaviour="seconds=1&create=cut_after&callback=lost",
        stage="expired",
        settled_by=None,
        billing="unknown",
        error="no_result_in_time",
    ),
    "never_ends": Scenario(
        behaviour="result=never", stage="expired", settled_by=None, error="no_result_in_time"
    ),
    "media_cut_once": succeeds("media=truncated&media_times=1", warning="copy_retried"),
    "media_cut_unseen_once": succeeds(
        "media=truncated_without_length&media_times=1", warning="copy_retried"
    ),
    "media_cut_in_chunks_once": succeeds(
        "media=truncated_chunked&media_times=1", warning="copy_retried"
    ),
    "media_missing_once": succeeds("media=missing&media_times=1", warning="copy_retried"),
    "media_stalled_once": succeeds("media=stalled&media_times=1", warning="copy_retried"),
    "media_slow": succeeds("media=slow&media_seconds=3"),
    "media_html_once": succeeds("media=html&media_times=1", warning="copy_retried"),
    "media_empty_once": succeeds("media=empty&media_times=1", warning="copy_retried"),
    "media_expired": succeeds("media=expired", warning="copy_retried"),
    "media_without_length": succeeds("media=without_length"),
    "media_chunked": succeeds("media=chunked"),
    "media_redirected": succeeds("media=redirect"),
    "media_without_poster": succeeds("media=no_poster"),
    "media_poster_missing": succeeds("media=poster_missing", warning="poster_missing"),
}
FORMS = {
    *("feed_flat", "feed_legacy", "feed_nested_stale", "callback_lost_feed_flat"),
    *("feed_answers_html", "feed_lags", "callback_empty", "callback_huge", "callback_malformed"),
    *("rejected_in_200", "invalid_request_500", "saturated_once"),
    *("create_garbage", "create_without_id", "media_cut_unseen_once", "media_cut_in_chunks_once"),
    *("media_html_once", "media_empty_once", "media_without_length", "media_chunked"),
}
"""Other forms of the same: `make test` leaves them to the small tests."""
if not FULL:
    SCENARIOS = {name: one for name, one in SCENARIOS.items() if name not in FORMS}
ALONE = ("normal", "callback_on_every_change")
"""Whose callbacks must be handled before the fallback's turn, so nothing else is under way."""
SETTLED = {"succeeded", "failed", "expired"}
SUCCEEDING = [name for name, scenario in SCENARIOS.items() if scenario.stage == "succeeded"]


@pytest.fixture(scope="module")
def tasks(caller, bus):
    """Submit every scenario; scenario → task id, all of them settled."""
    del bus  # is to hear from the start
    caller.wait(caller.submit("seconds=1"), SETTLED)  # starts a worker of each function
    ids = {}
    for name, scenario in SCENARIOS.items():
        ids[name] = caller.submit(scenario.behaviour)
        if name in ALONE:
            caller.wait(ids[name], SETTLED)
        time.sleep(APART)
    ends_at = time.monotonic() + SETTLES_WITHIN
    for name, task_id in ids.items():
        while caller.row(task_id).stage != SCENARIOS[name].stage and time.monotonic() < ends_at:
            time.sleep(0.5)
    return ids


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_transfer_ends_as_it_should(name, tasks, caller):
    scenario = SCENARIOS[name]
    task = caller.read(tasks[name])
    row = caller.row(tasks[name])

    assert task["stage"] == scenario.stage
    assert task["done"] is True
    assert task["billing"] == scenario.billing
    assert (task["error"] or {}).get("code") == scenario.error
    assert scenario.warning is None or scenario.warning in {w["code"] for w in task["warnings"]}
    if scenario.settled_by:
        assert task["settled_by"] == scenario.settled_by
    assert caller.creates_paid(row.task_id) == scenario.creates
    assert (row.due_at is None) == (scenario.stage != Stage.EXPIRED)


@pytest.mark.parametrize("name", SUCCEEDING)
def test_a_result_is_in_the_bucket_byte_for_byte(name, tasks, caller):
    task = caller.read(tasks[name])
    served = caller.provider_task(tasks[name])["media"]
    stored = caller.objects(tasks[name])
    expected = {"video.mp4": served["result.mp4"]["sha256"]}
    if task["output"]["poster"]:
        expected["poster.png"] = served["poster.png"]["sha256"]
    if task["output"]["last_frame"]:
        expected["last_frame.png"] = served["last_frame.png"]["sha256"]

    beside = json.loads(
        caller.object(task["output"]["video"]["s3_uri"].replace("video.mp4", "task.json"))
    )

    assert {key: value for key, value in stored.items() if key != "task.json"} == expected
    assert task["output"]["video"]["sha256"] == served["result.mp4"]["sha256"]
    assert task["output"]["video"]["bytes"] == served["result.mp4"]["bytes"]
    assert task["output"]["video"]["content_type"] == "video/mp4"
    assert task["output"]["video"]["duration_seconds"] == pytest.approx(5.0)
    assert (task["output"]["video"]["width"], task["output"]["video"]["height"]) == (640, 360)
    assert beside["id"] == task["id"]
    assert beside["stage"] == "succeeded"
    assert beside["version"] == task["version"]
    assert "?" not in json.dumps(beside)


@pytest.mark.parametrize(
    "name", [name for name, scenario in SCENARIOS.items() if scenario.stage != "succeeded"]
)
def test_what_did_not_succeed_leaves_nothing_in_the_bucket(name, tasks, caller):
    assert caller.objects(tasks[name]) == {}
    assert caller.read(tasks[name])["output"] is None


def test_the_link_in_the_reply_gives_the_video_without_a_key(tasks, caller):
    video = caller.read(tasks["normal"])["output"]["video"]

    answer = requests.get(video["url"], timeout=10)

    assert answer.status_code == 200
    assert len(answer.content) == video["bytes"]
    assert answer.headers["content-type"] == "video/mp4"


def test_the_common_path_starts_no_fallback(tasks, caller):
    assert caller.executions(tasks["normal"]) == []
    assert caller.executions(tasks["callback_on_every_change"]) == []


def test_a_lost_callback_starts_one_fallback_named_after_the_task_and_its_look(tasks, caller):
    assert caller.executions(tasks["callback_lost"]) == [f"{tasks['callback_lost']}-1"]


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("normal", "Task Succeeded"),
        ("provider_fails", "Task Failed"),
        ("never_ends", "Task Expired"),
    ],
)
def test_each_move_is_one_event_with_the_task_and_a_higher_version(name, last, tasks, bus):
    events = {event["detail"]["event_id"]: event for event in bus.of(tasks[name], last)}
    ordered = sorted(events.values(), key=lambda event: event["detail"]["version"])
    types = [event["detail-type"] for event in ordered]
    expected = {
        "normal": ["Task Submitted", "Task Storing", "Task Succeeded"],
        "provider_fails": ["Task Submitted", "Task Failed"],
        "never_ends": ["Task Submitted", "Task Expired"],
    }[name]

    assert [kind for kind in types if kind != "Task Running"] == expected
    assert [event["detail"]["version"] for event in ordered] == list(range(2, 2 + len(ordered))), (
        types
    )
    for event in ordered:
        detail = event["detail"]
        assert event["source"] == "act-one"
        assert detail["event_id"] == f"{tasks[name]}#{detail['version']}"
        assert "?" not in json.dumps(detail)


def test_every_event_is_as_its_schema_says(tasks, bus):
    del tasks
    heard = bus.everything()

    assert {event["detail-type"] for event in heard} >= {"Task Submitted", "Task Succeeded"}
    assert [fault for event in heard for fault in faults_of(event)] == []


def test_versions_rise_with_time_and_one_move_is_told_in_one_way(tasks, bus):
    del tasks
    published = defaultdict(dict)
    for detail in [event["detail"] for event in bus.everything() if "id" in event["detail"]]:
        # A repeat says the same; only EventBridge's own id and time differ.
        assert published[detail["id"]].setdefault(detail["version"], detail) == detail

    assert published
    for moves in published.values():
        times = [moves[version]["updated_at"] for version in sorted(moves)]
        assert times == sorted(times)
        done = [moves[version]["progress"] for version in sorted(moves)]
        assert done == sorted(done)


def test_no_callback_is_refused_and_most_are_answered_in_time(tasks, caller):
    shown = [task for task in caller.simulator("tasks") if task["task_id"] in tasks.values()]
    statuses = [callback["status"] for task in shown for callback in task["callbacks"]]

    assert len(statuses) > 20
    # The provider waits for ten seconds; on a busy machine a function's start may take that long.
    assert set(statuses) <= {200, None}
    assert statuses.count(200) > len(statuses) / 2


def test_a_callback_after_the_end_changes_nothing(tasks, caller):
    before = caller.row(tasks["normal"])
    provider_task_id = before.provider_task_id

    answer = requests.post(
        f"{caller.stack.provider_url}/_simulator/tasks/{provider_task_id}/callback", timeout=20
    )

    assert answer.status_code == 200
    assert caller.row(tasks["normal"]) == before
    assert caller.executions(tasks["normal"]) == []


NEVER_WHOLE = {
    "truncated": "media_cut_off",
    "truncated_without_length": "media_cut_off",
    "truncated_chunked": "media_cut_off",
    "missing": "media_refused",
    "html": "media_wrong_type",
    "empty": "media_cut_off",
    "oversized": "media_too_large",
    "oversized_without_length": "media_too_large",
}


def test_a_result_that_is_never_whole_is_tried_again_and_never_stored(caller):
    ids = {media: caller.submit(f"seconds=1&media={media}") for media in NEVER_WHOLE}
    ends_at = time.monotonic() + 120
    for task_id in ids.values():
        while caller.row(task_id).copy_attempts < 2 and time.monotonic() < ends_at:
            time.sleep(0.5)

    for media, task_id in ids.items():
        task = caller.read(task_id)
        assert (media, task["stage"]) == (media, "storing")
        assert NEVER_WHOLE[media] in str(task["warnings"])
        assert caller.row(task_id).copy_attempts >= 2
        assert caller.objects(task_id) == {}


def test_no_object_is_without_its_task_and_no_success_without_its_objects(tasks, caller):
    del tasks
    uris = {f"s3://{caller.stack.results_bucket}/{key}" for key in caller.result_keys()}
    scanned = caller.table.client.get_paginator("scan").paginate(TableName=caller.table.name)
    rows = [read_item(item) for page in scanned for item in page["Items"]]

    outputs = {
        media.s3_uri
        for row in rows
        if row.output is not None
        for media in (row.output.video, row.output.poster, row.output.last_frame)
        if media is not None
    }

    assert {row.stage for row in rows if row.output is not None} == {"succeeded"}
    assert {uri for uri in uris if not uri.endswith("/task.json")} == outputs
    assert len({uri for uri in uris if uri.endswith("/task.json")}) == sum(
        row.stage == "succeeded" for row in rows
    )


def test_nothing_was_paid_twice(tasks, caller):
    del tasks
    assert max(caller.simulator("bill")["by_callback"].values()) == 1


def test_the_ledger_is_the_bill_but_for_what_may_have_been_billed(tasks, caller):
    """After every fault of the provider that there is, with late callbacks still coming in."""
    del tasks
    bill = caller.simulator("bill")["by_callback"]
    ends_at = time.monotonic() + SETTLES_WITHIN
    while (expected := caller.accounts_of_rows()) != (found := caller.accounts()):
        assert time.monotonic() < ends_at, f"the rows come to {expected}, the ledger has {found}"
        time.sleep(0.5)

    billed = sum(bill.get(task.task_id, 0) for task in caller.tasks() if task.accounts)
    price = 400_000
    assert (
        found["spent"]
        <= billed * price
        <= sum(found.get(name, 0) for name in ("spent", "unknown", "reserved"))
    )


def test_nothing_secret_is_in_a_log_an_event_or_an_environment(tasks, caller, bus):
    client = caller.stack.client
    vault = client("secretsmanager")
    keys = {
        name: json.loads(
            vault.get_secret_value(SecretId=f"{caller.stack.stack_name}/{name}")["SecretString"]
        )["current"]
        for name in ("provider", "callback", "webhook")
    }
    tokens = [
        callback_url("", task_id, Keys(keys["callback"])).rpartition("/")[2]
        for task_id in tasks.values()
    ]
    secrets = [*keys.values(), caller.stack.api_key, *tokens, "Signature=", "X-Amz-"]

    logs = client("logs")
    groups = [
        group["logGroupName"]
        for page in logs.get_paginator("describe_log_groups").paginate()
        for group in page["logGroups"]
    ]
    said = [
        event["message"]
        for group in groups
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        for event in page["events"]
    ]
    functions = client("lambda").list_functions()["Functions"]
    texts = {
        "log": "\n".join(said),
        "event": json.dumps([*bus.of(tasks["normal"], "Task Succeeded"), *bus.everything()]),
        "environment": json.dumps([function["Environment"] for function in functions]),
    }

    assert '"message":"feed"' in texts["log"]
    for place, text in texts.items():
        assert text
        for secret in secrets:
            assert secret not in text, f"{secret[:4]}… in {place}"
