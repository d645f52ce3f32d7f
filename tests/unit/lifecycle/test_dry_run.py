"""A dry run refuses what a request would be refused for, and leaves nothing behind."""

from dataclasses import replace

import pytest

from act_one.clients.client import Client
from act_one.inputs.request import TransferRequest
from act_one.lifecycle.dry_run import dry_run
from act_one.problems import ProblemError
from act_one.tasks.accounts import LedgerTable
from act_one.tasks.durations import Durations
from act_one.tasks.task import Notice
from tests.unit.fakes import FakeClients, FakeProvider, key_ring, make_services, submitted

PRICE = 400_000
CLIENT = Client(name="client-1")
REQUEST = TransferRequest(
    video="https://media.example/a.mp4",
    image="https://media.example/b.png",
    idempotency_key="order-42",
)
WARNING = Notice(code="input_not_checked", message="slow")


def no_warnings(_request):
    return ()


def ask(request, client, services, check, durations=Durations()):  # noqa: B008 - it is frozen
    ledger = LedgerTable(services.table.client, services.table.ledger_name)
    return dry_run(request, client, services, ledger, durations, check)


def rows(table):
    tables = (table.name, table.ledger_name)
    return [item for name in tables for item in table.client.scan(TableName=name)["Items"]]


def test_a_dry_run_says_what_would_happen_and_writes_nothing(services, table, provider):
    asked = ask(REQUEST, CLIENT, services, lambda _: (WARNING,))

    assert asked == {
        "dry_run": True,
        "would": "create",
        "task_id": None,
        "cost_micro_usd": PRICE,
        "warnings": [{"code": "input_not_checked", "message": "slow"}],
        "budget": None,
        "eta_seconds": None,
        "eta_seconds_p90": None,
    }
    assert rows(table) == []
    assert provider.creates == []


def test_a_dry_run_says_how_long_tasks_take(services):
    recent = Durations((100.0, 110.0, 120.0, 130.0, 300.0))

    asked = ask(REQUEST, CLIENT, services, no_warnings, recent)

    assert (asked["eta_seconds"], asked["eta_seconds_p90"]) == (120, 300)


def test_a_dry_run_does_not_use_its_key_up(services):
    ask(REQUEST, CLIENT, services, no_warnings)

    _, replayed = submitted(services, replace(REQUEST, metadata={"other": True}))
    assert not replayed


@pytest.mark.parametrize("preflight", [True, False])
def test_a_dry_run_of_a_known_request_names_its_task(services, preflight):
    task, _ = submitted(services, REQUEST)

    asked = ask(replace(REQUEST, preflight=preflight), CLIENT, services, no_warnings)

    assert (asked["would"], asked["task_id"]) == ("replay", task.task_id)
    assert asked["cost_micro_usd"] == 0


def test_a_dry_run_under_a_used_key_is_refused_like_its_request(services):
    submitted(services, REQUEST)

    with pytest.raises(ProblemError) as caught:
        ask(replace(REQUEST, consent="release-1"), CLIENT, services, no_warnings)
    assert (caught.value.status, caught.value.extensions["differs"]) == (409, ["consent"])


def test_while_sending_is_paused_a_request_would_wait(table):
    services = make_services(table, clients=FakeClients(paused=True))

    assert ask(REQUEST, CLIENT, services, no_warnings)["would"] == "wait"


def refuse(_request):
    raise ProblemError(422, "input-too-long", "too long", "too long")


@pytest.mark.parametrize(
    ("chosen", "client", "check", "code"),
    [
        ({"require_consent": True}, CLIENT, no_warnings, "consent-missing"),
        ({}, replace(CLIENT, consent_required=True), no_warnings, "consent-missing"),
        ({}, CLIENT, refuse, "input-too-long"),
        (
            {"provider": FakeProvider(key_ring=key_ring(None))},
            CLIENT,
            no_warnings,
            "provider-key-not-set",
        ),
        ({}, replace(CLIENT, daily_budget=PRICE - 1), no_warnings, "budget-exceeded"),
        ({"daily_budget_usd": 0.39}, CLIENT, no_warnings, "budget-exceeded"),
        ({}, replace(CLIENT, max_open=0), no_warnings, "too-many-open-tasks"),
    ],
)
def test_a_dry_run_is_refused_for_what_its_request_is(table, chosen, client, check, code):
    services = make_services(table, **chosen)

    with pytest.raises(ProblemError) as caught:
        ask(REQUEST, client, services, check)
    with pytest.raises(ProblemError) as really:
        submitted(services, REQUEST, client, check_inputs=check)

    assert caught.value.code == code
    assert caught.value.document() == really.value.document()


def test_a_dry_run_counts_what_is_open_already(services):
    client = replace(CLIENT, daily_budget=2 * PRICE, max_open=1)
    asked = ask(REQUEST, client, services, no_warnings)
    assert asked["budget"]["left_micro_usd"] == 2 * PRICE
    submitted(services, REQUEST, client)

    with pytest.raises(ProblemError) as caught:
        ask(replace(REQUEST, idempotency_key="order-43"), client, services, no_warnings)
    assert caught.value.code == "too-many-open-tasks"
    room = replace(client, max_open=2)
    other = ask(replace(REQUEST, idempotency_key="order-43"), room, services, no_warnings)
    assert other["budget"]["left_micro_usd"] == PRICE
