"""Mutants of releases: what old code does to rows that newer code wrote."""

from typing import Final

from act_one.clients import directory
from act_one.ingest import pairs
from act_one.lifecycle import advance, relay, sweep
from act_one.tasks import rows, schema
from tests.protocol.mutants.registry import altered, mutant

NEWER: Final = "lifecycle/test_newer_rows.py::"
CLIENTS: Final = "clients/test_directory.py::"


class _NeverError(Exception):
    """An error that nothing raises."""


altered(
    "a newer row can be written",
    schema,
    "NOT_NEWER",
    "(attribute_not_exists(#schema) OR NOT #schema = :schema_read OR #schema = :schema_read)",
    killer=NEWER + "test_no_write_changes_a_newer_row",
)

altered(
    "a function under way writes over a newer row",
    schema,
    "NOT_NEWER",
    "(attribute_not_exists(#schema) OR NOT #schema = :schema_read OR #schema = :schema_read)",
    killer="test_a_function_under_way_changes_nothing_that_a_newer_release_has_written",
)


@mutant(
    "a newer row is read as if it were ours",
    schema.Schema,
    "check",
    killer=NEWER + "test_a_read_says_to_come_back",
)
def _(_check, _schema, _row):
    return None


@mutant(
    "a put has no schema",
    schema.Schema,
    "stamp",
    killer=NEWER + "test_each_put_and_update_writes_the_schema",
)
def _(_stamp, _schema):
    return {}


altered(
    "a row without a schema is of no release",
    schema,
    "_FIRST",
    1_000,
    killer=NEWER + "test_a_row_without_a_schema_is_of_the_first",
)

altered(
    "a newer row stops the sweep",
    sweep,
    "NewerRowError",
    _NeverError,
    killer=NEWER + "test_the_sweep_passes_a_newer_row_and_takes_those_behind_it",
)

altered(
    "a newer row makes the fallback fail",
    advance,
    "NewerRowError",
    _NeverError,
    killer=NEWER + "test_the_fallback_ends_its_execution_and_asks_nothing",
)


@mutant(
    "a newer row stops the relay",
    relay,
    "take_up",
    killer=NEWER + "test_the_relay_passes_a_newer_row_and_sends_what_is_behind_it",
)
def _(take_up, item):
    try:
        return take_up(item)
    except schema.NewerRowError as error:
        raise _NeverError from error


@mutant(
    "a member that only newer code knows makes a row unreadable",
    rows,
    "_known_members",
    killer=NEWER + "test_members_that_only_newer_code_knows_are_ignored_in_nested_values",
)
def _(_known_members, _kind, stored):
    return dict(stored)


@mutant(
    "a client's newer limits are passed over",
    directory,
    "read_client",
    killer=CLIENTS + "test_a_client_of_a_newer_release_is_refused_for_now",
)
def _(read_client, row):
    return read_client({**row, "schema": {"N": "1"}})


altered(
    "a newer release's pause holds nothing",
    directory,
    "NewerRowError",
    _NeverError,
    killer=CLIENTS + "test_a_pause_of_a_newer_release_is_a_pause",
)


@mutant(
    "a newer claim of a folder is read as ours",
    pairs,
    "_read_item",
    killer="ingest/test_pairs.py::test_a_claim_of_a_newer_release_is_neither_read_nor_replaced",
)
def _(read_item, item):
    return read_item({**item, "schema": {"N": "1"}})
