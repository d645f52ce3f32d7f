"""Create, list, rotate, limit and revoke the clients of a stack.

    python -m ops.clients STACK create NAME [limits]    prints the client's API key
    python -m ops.clients STACK rotate NAME             prints a second key; the first stays valid
    python -m ops.clients STACK rotate NAME --finish    removes the older key
    python -m ops.clients STACK limit NAME [limits]     sets the limits that are given
    python -m ops.clients STACK revoke NAME             its keys stop working, its tasks stay
    python -m ops.clients STACK list

with the operator's own AWS credentials. docs/clients.md explains the limits. `default` is the
client of all keys that belong to no other; it may be limited, but has no keys of its own.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, NoReturn

import boto3

from act_one.clients.client import DEFAULT, DEFAULT_CLIENT, MAX_KEYS, Client, is_client_name
from act_one.clients.directory import client_id, key_id, read_client
from act_one.tasks import schema
from act_one.tasks.task import SHARED_CLIENTS
from ops.client_rows import write_row
from ops.stacks import CommandError, run, stack_outputs

if TYPE_CHECKING:
    from mypy_boto3_apigateway import APIGatewayClient
    from mypy_boto3_apigateway.type_defs import PatchOperationTypeDef
    from mypy_boto3_dynamodb import DynamoDBClient

NO_LIMIT: Final = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """One of a client's API keys: its id in API Gateway, and that of its row."""

    gateway_id: str
    row_id: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A client as the table holds it, with its keys, the oldest first."""

    client: Client
    keys: tuple[ApiKey, ...] = ()


@dataclass(frozen=True, slots=True)
class ClientRegister:
    """The clients table and the usage plan of a deployed stack, as an operator writes them."""

    stack_name: str
    dynamodb: "DynamoDBClient"
    gateway: "APIGatewayClient"
    table: str
    usage_plan: str

    # ── Commands ──────────────────────────────────────────────────────────────────────────────

    def create(self, name: str, limits: Mapping[str, Any]) -> str:
        """Create a client with one API key, and return the key."""
        if not is_client_name(name) or name == DEFAULT_CLIENT:
            raise CommandError(
                f"{name!r} can't be a client's name: use lower-case letters, digits and hyphens, "
                "beginning with a letter; default, uploads and events are taken."
            )
        if self._read(name) is not None:
            raise CommandError(f"There is a client {name} already; `limit` changes its limits.")
        return self._add_key(Entry(Client(name=name, **limits)), new=True)

    def rotate(self, name: str) -> str:
        """Give a client a second API key, and return it; the older of two before is removed."""
        entry = self._own(name)
        while len(entry.keys) >= MAX_KEYS:
            entry = self._remove_oldest_key(entry)
        return self._add_key(entry)

    def finish_rotation(self, name: str) -> None:
        """Remove the older of a client's two API keys."""
        entry = self._own(name)
        if len(entry.keys) < MAX_KEYS:
            raise CommandError(f"{name} has one API key; `rotate` gives it a second one first.")
        self._remove_oldest_key(entry)

    def limit(self, name: str, limits: Mapping[str, Any]) -> Client:
        """Change the limits that are given, and return the client."""
        default = Entry(DEFAULT) if name == DEFAULT_CLIENT else None
        entry = self._read(name) or default
        if entry is None:
            raise CommandError(f"There is no client {name}; `list` shows them.")
        if not limits:
            raise CommandError("Say what to limit, such as --daily-budget-usd 20.")
        changed = Entry(replace(entry.client, **limits), entry.keys)
        self._write(changed)
        return changed.client

    def revoke(self, name: str) -> None:
        """Stop a client's keys from working; its tasks and its name stay."""
        entry = self._own(name)
        self._write(Entry(replace(entry.client, revoked=True), entry.keys))
        for key in entry.keys:
            self._disable(key)

    def all(self) -> Iterator[Entry]:
        """Return the clients, by name."""
        found = {DEFAULT_CLIENT: Entry(DEFAULT)}
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=self.table)
        for item in (item for page in pages for item in page["Items"]):
            if item["id"]["S"].startswith("client#"):
                found[item["name"]["S"]] = _read_entry(item)
        yield from (found[name] for name in sorted(found))

    # ── Keys ──────────────────────────────────────────────────────────────────────────────────

    def _add_key(self, entry: Entry, *, new: bool = False) -> str:
        """Create a key that works only once its row says whose it is."""
        made = self.gateway.create_api_key(
            name=f"{self.stack_name}-{entry.client.name}",
            description=f"Client {entry.client.name} of the stack {self.stack_name}",
            enabled=True,
        )
        value = made["value"]
        key = ApiKey(gateway_id=made["id"], row_id=key_id(value))
        self.dynamodb.put_item(
            TableName=self.table,
            Item={
                "id": {"S": key.row_id},
                "client": {"S": entry.client.name},
                **schema.CLIENTS.stamp(),
            },
        )
        self._write(Entry(entry.client, (*entry.keys, key)), new=new)
        self.gateway.create_usage_plan_key(
            usagePlanId=self.usage_plan, keyId=key.gateway_id, keyType="API_KEY"
        )
        return value

    def _remove_oldest_key(self, entry: Entry) -> Entry:
        oldest, *kept = entry.keys
        with suppress(self.gateway.exceptions.NotFoundException):  # removed by an earlier try
            self.gateway.delete_api_key(apiKey=oldest.gateway_id)
        remaining = Entry(entry.client, tuple(kept))
        self._write(remaining)
        # Last: without its row, a key that still worked would be the default client's.
        self.dynamodb.delete_item(TableName=self.table, Key={"id": {"S": oldest.row_id}})
        return remaining

    def _disable(self, key: ApiKey) -> None:
        change: PatchOperationTypeDef = {"op": "replace", "path": "/enabled", "value": "false"}
        with suppress(self.gateway.exceptions.NotFoundException):  # removed by hand
            self.gateway.update_api_key(apiKey=key.gateway_id, patchOperations=[change])

    # ── Rows ──────────────────────────────────────────────────────────────────────────────────

    def _own(self, name: str) -> Entry:
        entry = self._read(name)
        if entry is None or name == DEFAULT_CLIENT:
            raise CommandError(f"There is no client {name} with keys of its own; see `list`.")
        return entry

    def _read(self, name: str) -> Entry | None:
        answer = self.dynamodb.get_item(
            TableName=self.table, Key={"id": {"S": client_id(name)}}, ConsistentRead=True
        )
        return _read_entry(answer["Item"]) if "Item" in answer else None

    def _write(self, entry: Entry, *, new: bool = False) -> None:
        row_id = client_id(entry.client.name)
        write_row(self.dynamodb, self.table, row_id, _values_of(entry), new=new)


def _values_of(entry: Entry) -> dict[str, object]:
    client = entry.client
    return {
        "name": client.name,
        "daily_budget": client.daily_budget,
        "max_open": client.max_open,
        "consent_required": client.consent_required,
        "may_read": sorted(client.may_read),
        "event_sources": client.event_sources,
        "revoked": client.revoked,
        "keys": [{"gateway_id": key.gateway_id, "row_id": key.row_id} for key in entry.keys],
    }


def _read_entry(item: Mapping[str, Any]) -> Entry:
    keys = tuple(
        ApiKey(gateway_id=one["M"]["gateway_id"]["S"], row_id=one["M"]["row_id"]["S"])
        for one in item["keys"]["L"]
    )
    return Entry(read_client(item), keys)


# ── The command line ──────────────────────────────────────────────────────────────────────────


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit status."""
    return run(lambda: _command(_parser().parse_args(arguments)))


def _command(asked: argparse.Namespace) -> str:
    register = register_of(asked.stack, boto3.Session())
    match asked.command:
        case "create":
            return register.create(asked.name, _limits(asked))
        case "rotate" if asked.finish:
            register.finish_rotation(asked.name)
            return f"The older API key of {asked.name} no longer works."
        case "rotate":
            return register.rotate(asked.name)
        case "limit":
            return _shown(Entry(register.limit(asked.name, _limits(asked))))
        case "revoke":
            register.revoke(asked.name)
            return f"{asked.name} is revoked: within a minute its API keys no longer work."
        case _:
            return "\n".join(_shown(entry) for entry in register.all())


def register_of(stack_name: str, session: boto3.Session) -> ClientRegister:
    """Find the clients table and the usage plan of a deployed stack. Raises ``CommandError``."""
    outputs = stack_outputs(stack_name, session, "ClientsTable", "UsagePlanId")
    return ClientRegister(
        stack_name,
        session.client("dynamodb"),
        session.client("apigateway"),
        outputs["ClientsTable"],
        outputs["UsagePlanId"],
    )


def _shown(entry: Entry) -> str:
    client = entry.client
    return json.dumps(
        {
            "name": client.name,
            "daily_budget_usd": client.daily_budget and client.daily_budget / 1_000_000,
            "max_open": client.max_open,
            "consent_required": client.consent_required,
            "may_read": sorted(client.may_read),
            "event_sources": list(client.event_sources),
            "revoked": client.revoked,
            "api_key_ids": [key.gateway_id for key in entry.keys],
        }
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise CommandError(f"{message}\n\n{__doc__}")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m ops.clients", description=__doc__, allow_abbrev=False)
    parser.add_argument("stack")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    for name in ("create", "limit"):
        command = commands.add_parser(name)
        command.add_argument("name")
        command.add_argument("--daily-budget-usd", dest="daily_budget", type=_micro_dollars)
        command.add_argument("--max-open", type=_count)
        command.add_argument("--require-consent", dest="consent_required", type=_yes)
        command.add_argument("--may-read", type=_shared_clients)
        command.add_argument("--event-source", dest="event_sources", action="append")
    rotate = commands.add_parser("rotate")
    rotate.add_argument("name")
    rotate.add_argument("--finish", action="store_true")
    commands.add_parser("revoke").add_argument("name")
    commands.add_parser("list")
    return parser


class _NoLimit:
    """Stands for a limit that is to be removed: argparse has None for one that is not given."""


def _limits(asked: argparse.Namespace) -> dict[str, Any]:
    """Return the limits that are given, under the names of the fields of a client."""
    names = ("daily_budget", "max_open", "consent_required", "may_read", "event_sources")
    given = {name: getattr(asked, name) for name in names if getattr(asked, name) is not None}
    if "event_sources" in given:
        sources = given["event_sources"]
        given["event_sources"] = () if sources == [NO_LIMIT] else tuple(sources)
    return {name: None if value is _NoLimit else value for name, value in given.items()}


def _micro_dollars(text: str) -> object:
    if text == NO_LIMIT:
        return _NoLimit
    try:
        dollars = Decimal(text)
    except InvalidOperation:
        dollars = Decimal(-1)
    if not dollars.is_finite() or dollars < 0:
        message = f"{text!r} is not an amount of dollars, such as 20 or 12.50, or {NO_LIMIT}"
        raise argparse.ArgumentTypeError(message)
    return int(dollars * 1_000_000)


def _count(text: str) -> object:
    if text == NO_LIMIT:
        return _NoLimit
    if not text.isdecimal() or int(text) < 1:
        message = f"{text!r} is not a number of tasks from 1, or {NO_LIMIT}"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _yes(text: str) -> bool:
    if text not in ("yes", "no"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither yes nor no")
    return text == "yes"


def _shared_clients(text: str) -> frozenset[str]:
    names = frozenset() if text == NO_LIMIT else frozenset(text.split(","))
    if not names <= SHARED_CLIENTS:
        message = f"{text!r} is not one or both of {','.join(sorted(SHARED_CLIENTS))}, or none"
        raise argparse.ArgumentTypeError(message)
    return names


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
