"""The published schemas of events, in events/schemas, to check what is really sent against."""

import json
from functools import cache
from pathlib import Path

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource

EVENTS = Path(__file__).parents[1] / "events/schemas"


@cache
def _schemas():
    paths = EVENTS.glob("*.schema.json")
    return {found["$id"]: found for found in (json.loads(path.read_text()) for path in paths)}


@cache
def _validator(name):
    schemas = _schemas()
    found = schemas[f"urn:act-one:schema:{name}"]
    Draft202012Validator.check_schema(found)
    resources = [(key, Resource.from_contents(value)) for key, value in schemas.items()]
    registry = Registry().with_resources(resources)
    return Draft202012Validator(found, registry=registry, format_checker=FormatChecker())


def schema(detail_type):
    """The schema of an event by its detail type, or the one of a ``task``."""
    return _validator(_name(detail_type)).schema


def faults_of(event):
    """What an event of the bus says or leaves out against its schema."""
    errors = _validator(_name(event["detail-type"])).iter_errors(event)
    return [f"{event['detail-type']}, {error.json_path}: {error.message}" for error in errors]


def _name(detail_type):
    return detail_type.lower().replace(" ", "-")
