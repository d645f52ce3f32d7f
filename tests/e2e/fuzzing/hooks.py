"""What schemathesis is told beside the document: inputs that exist, and a check of codes.

Runs inside of schemathesis, in an environment of its own.
"""

import json
import os
import re
from itertools import count
from math import inf

import schemathesis
from hypothesis import strategies as st

PROVIDER = os.environ["PROVIDER_URL"]
UPLOAD_ID = re.compile(r"[0-9a-f]{16}")
MAX_METADATA_BYTES = 2_048
MAX_INTEGER = 2**53
CALLS = count(1)
VIDEOS = [f"{PROVIDER}/inputs/performance.mp4{query}" for query in ("", "?seconds=1", "?seconds=2")]
IMAGE = f"{PROVIDER}/inputs/character.png"

# Requests with made-up hosts would all end at the preflight.
schemathesis.openapi.format("uri", st.sampled_from(VIDEOS))


@schemathesis.hook
def before_call(_context, case, _kwargs):
    """Send an image where a video was drawn, an upload that has its files, and mostly a new key.

    The schema says how they look, not what they are. No call waits longer than a second.
    """
    if case.meta and case.meta.generation.mode.is_negative:
        return
    if (case.query or {}).get("wait"):
        case.query["wait"] = 1
    if "wait" in (case.headers or {}).get("Prefer", ""):
        case.headers["Prefer"] = "wait=1"
    if isinstance(case.body, dict):
        changed = {"image": IMAGE} if case.body.get("image") in VIDEOS else {}
        if UPLOAD_ID.fullmatch(str(case.body.get("upload_id"))):
            changed["upload_id"] = os.environ["UPLOAD_ID"]
        case.body = {**case.body, **changed}
    key = (case.headers or {}).get("Idempotency-Key", "")
    number = next(CALLS)
    if isinstance(key, str) and key.strip() and len(key) < 200 and number % 4:
        case.headers["Idempotency-Key"] = f"{key}{number}"


@schemathesis.hook
def filter_case(_context, case):
    """Leave out what matches the schema but is beyond limits that it has no words for."""
    if not isinstance(case.body, dict):
        return True
    consent, metadata = case.body.get("consent"), case.body.get("metadata")
    if isinstance(consent, str) and not (consent.isprintable() and consent.strip()):
        return False
    if not isinstance(metadata, dict):
        return True
    fits = len(json.dumps(metadata, ensure_ascii=False)) <= MAX_METADATA_BYTES / 4
    return fits and all(
        abs(number) <= MAX_INTEGER for number in numbers(metadata) if abs(number) != inf
    )


def numbers(value):
    if isinstance(value, dict | list):
        for member in value.values() if isinstance(value, dict) else value:
            yield from numbers(member)
    elif isinstance(value, int | float):
        yield value


@schemathesis.check
def documented_code(_context, response, case):
    """Every problem has a code that the document lists under its status, and its own type."""
    if response.status_code < 400:
        return
    problem = json.loads(response.content)
    problem_media_type = "problem+json" in response.headers["content-type"][0]
    if case.method.upper() != case.operation.method.upper():
        assert (response.status_code, problem["code"]) == (404, "no-such-route")
        return
    documented = case.operation.definition.raw["responses"].get(str(response.status_code), {})
    codes = documented.get("x-codes", [])
    if not problem_media_type:  # CometAPI's form: the message ends with the code
        [code] = re.findall(r"\(([a-z-]+)\)$", problem["msg"]) or ["task-not-found"]
        assert code in codes, f"{code} is not among {codes}"
        return
    assert problem["code"] in codes, f"{problem['code']} is not among {codes}"
    assert problem["type"] == f"/v1/docs/problems#{problem['code']}"
    assert problem["status"] == response.status_code
