"""Which client an API key is, and for how long a function remembers it."""

from dataclasses import replace
from itertools import count

import pytest
from botocore.exceptions import EndpointConnectionError

from act_one.clients.caller import caller_of
from act_one.clients.client import DEFAULT, Client, is_client_name
from act_one.clients.directory import (
    CLIENT_SECONDS,
    PAUSE_ID,
    PAUSE_SECONDS,
    ClientDirectory,
    key_id,
)
from act_one.http_events import key_hash_of
from act_one.problems import ProblemError
from act_one.tasks import schema
from act_one.tasks.schema import NewerRowError
from act_one.tasks.task import SHARED_CLIENTS
from ops.clients import ClientRegister
from ops.pause import set_paused
from ops.stacks import CommandError
from tests.unit.fakes import FakeClock


class FakeGateway:
    """API Gateway with API keys and one usage plan."""

    class exceptions:  # noqa: N801 - where boto3's clients have theirs
        class NotFoundException(Exception):  # noqa: N818 - boto3's name
            pass

    def __init__(self):
        self.keys, self.planned, self.disabled = {}, [], []
        self.numbers = count(1)

    def create_api_key(self, **_):
        number = next(self.numbers)
        self.keys[f"id-{number}"] = f"secret-{number}"
        return {"id": f"id-{number}", "value": f"secret-{number}"}

    def create_usage_plan_key(self, *, keyId, **_):  # noqa: N803 - boto3's name
        self.planned.append(keyId)

    def delete_api_key(self, *, apiKey):  # noqa: N803 - boto3's name
        if apiKey not in self.keys:
            raise self.exceptions.NotFoundException
        del self.keys[apiKey]

    def update_api_key(self, *, apiKey, **_):  # noqa: N803 - boto3's name
        self.disabled.append(apiKey)


@pytest.fixture
def register(dynamodb, create_table):
    return ClientRegister("act-one", dynamodb, FakeGateway(), create_table("ClientsTable"), "plan")


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def directory(register, clock):
    return ClientDirectory(register.dynamodb, register.table, clock)


def request(api_key):
    return {"headers": {"X-Api-Key": api_key}}


def test_a_key_is_its_clients(register, directory):
    limits = {"daily_budget": 20_000_000, "max_open": 3, "may_read": frozenset({"events"})}
    key = register.create("acme", {**limits, "event_sources": ("my.shop",)})

    client = directory.of_key(key)

    assert client == Client(name="acme", event_sources=("my.shop",), **limits)
    assert directory.named("acme") == client


def test_a_key_that_belongs_to_no_client_is_the_defaults(directory):
    assert directory.of_key("any") == DEFAULT
    assert DEFAULT.readable == {"default", *SHARED_CLIENTS}


def test_the_default_client_can_be_limited(register, directory):
    register.limit("default", {"daily_budget": 1_000_000, "may_read": frozenset()})

    assert directory.of_key("any") == Client(name="default", daily_budget=1_000_000)


def test_a_name_without_a_row_is_no_client(directory):
    assert directory.named("nobody") is None
    assert directory.named("uploads") == Client(name="uploads")


def test_a_client_is_read_again_after_a_while(register, directory, clock):
    key = register.create("acme", {})
    assert directory.of_key(key).max_open is None
    register.limit("acme", {"max_open": 5})

    assert directory.of_key(key).max_open is None
    clock.pass_by(CLIENT_SECONDS)
    assert directory.of_key(key).max_open == 5


def test_a_pause_is_seen_within_seconds(register, directory, clock):
    assert directory.is_paused() is False
    set_paused(register.table, register.dynamodb, paused=True)
    clock.pass_by(PAUSE_SECONDS)
    assert directory.is_paused() is True
    set_paused(register.table, register.dynamodb, paused=False)
    clock.pass_by(PAUSE_SECONDS)
    assert directory.is_paused() is False


def test_a_caller_may_read_what_its_key_made_before_clients_had_names(register, directory):
    event = request(register.create("acme", {}))

    caller = caller_of(event, directory)

    assert caller.readable == {"acme", key_hash_of(event)}


def test_a_revoked_client_is_refused_by_name(register, directory):
    key = register.create("acme", {})
    register.revoke("acme")

    with pytest.raises(ProblemError) as caught:
        caller_of(request(key), directory)

    assert (caught.value.status, caught.value.code) == (403, "client-revoked")
    assert register.gateway.disabled == ["id-1"]


# ── What operators do ─────────────────────────────────────────────────────────────────────────


def keys_of(register, name):
    return next(entry.keys for entry in register.all() if entry.client.name == name)


def test_a_client_has_two_keys_at_most(register, directory):
    first = register.create("acme", {})
    second = register.rotate("acme")
    third = register.rotate("acme")

    assert [key.gateway_id for key in keys_of(register, "acme")] == ["id-2", "id-3"]
    names = [directory.of_key(key).name for key in (first, second, third)]
    assert names == ["default", "acme", "acme"]
    assert "id-1" not in register.gateway.keys


def test_a_rotation_ends_with_the_older_key(register):
    register.create("acme", {})
    register.rotate("acme")

    register.finish_rotation("acme")

    assert [key.gateway_id for key in keys_of(register, "acme")] == ["id-2"]
    with pytest.raises(CommandError):
        register.finish_rotation("acme")


def test_a_key_works_only_once_its_row_says_whose_it_is(register, monkeypatch):
    """One in the usage plan without a row would be the default client's."""

    def gone(**_):
        raise EndpointConnectionError(endpoint_url="https://aws.example")

    monkeypatch.setattr(register.gateway, "create_usage_plan_key", gone)
    with pytest.raises(EndpointConnectionError):
        register.create("acme", {})

    assert register.gateway.planned == []
    assert [key.gateway_id for key in keys_of(register, "acme")] == ["id-1"]


def test_a_key_that_was_removed_by_hand_can_still_be_rotated_away(register):
    register.create("acme", {})
    register.rotate("acme")
    register.gateway.keys.clear()

    register.finish_rotation("acme")

    assert len(keys_of(register, "acme")) == 1


@pytest.mark.parametrize("name", ["default", "uploads", "events", "Acme", "", "a" * 64, "a_b", "9"])
def test_some_names_cannot_be_given(register, name):
    with pytest.raises(CommandError):
        register.create(name, {})

    assert register.gateway.keys == {}


def test_no_name_can_be_the_hash_of_a_key():
    """Tasks of before clients had names belong to such a hash."""
    assert not is_client_name("0123456789abcdef")
    assert is_client_name("acme-2")


def test_a_name_is_given_once(register):
    register.create("acme", {})

    with pytest.raises(CommandError, match="already"):
        register.create("acme", {})

    assert len(register.gateway.keys) == 1


def make_newer(register, row_id):
    item = register.dynamodb.get_item(TableName=register.table, Key={"id": {"S": row_id}})["Item"]
    assert item["schema"] == {"N": str(schema.CLIENTS.written)}
    item["schema"] = {"N": str(schema.CLIENTS.read + 1)}
    register.dynamodb.put_item(TableName=register.table, Item=item)


def test_a_client_of_a_newer_release_is_refused_for_now(register, directory):
    """A limit that this code can't see must not be exceeded."""
    key = register.create("acme", {})
    make_newer(register, "client#acme")

    with pytest.raises(NewerRowError):
        directory.of_key(key)
    with pytest.raises(NewerRowError):
        register.limit("acme", {"max_open": 5})


def test_a_key_of_a_newer_release_is_not_the_defaults(register, directory):
    key = register.create("acme", {})
    make_newer(register, key_id(key))

    with pytest.raises(NewerRowError):
        directory.of_key(key)


def test_a_pause_of_a_newer_release_is_a_pause(register, directory):
    set_paused(register.table, register.dynamodb, paused=False)
    make_newer(register, PAUSE_ID)

    assert directory.is_paused() is True


def test_what_a_newer_release_adds_to_a_client_outlives_a_change_of_its_limits(register):
    register.create("acme", {"daily_budget": 5_000_000, "max_open": 3})
    key = {"id": {"S": "client#acme"}}
    register.dynamodb.update_item(
        TableName=register.table,
        Key=key,
        UpdateExpression="SET note = :note",
        ExpressionAttributeValues={":note": {"S": "kept"}},
    )

    register.limit("acme", {"max_open": None})
    register.rotate("acme")

    item = register.dynamodb.get_item(TableName=register.table, Key=key)["Item"]
    assert (item["note"], item["daily_budget"]) == ({"S": "kept"}, {"N": "5000000"})
    assert "max_open" not in item


def test_a_client_that_a_newer_release_writes_meanwhile_is_left_alone(register, monkeypatch):
    register.create("acme", {})
    monkeypatch.setattr(
        "ops.clients.replace",
        lambda *given, **limits: make_newer(register, "client#acme") or replace(*given, **limits),
    )

    with pytest.raises(NewerRowError):
        register.limit("acme", {"max_open": 5})


def test_a_pause_of_a_newer_release_is_not_ended(register, directory):
    set_paused(register.table, register.dynamodb, paused=True)
    make_newer(register, PAUSE_ID)

    with pytest.raises(NewerRowError):
        set_paused(register.table, register.dynamodb, paused=False)

    assert directory.is_paused() is True
