"""The provider's published replies, one JSON file each in ``provider/forms/``.

``means`` gives the meaning of a form for each route that may send it.
"""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from act_one.net.exchange import Reply
from act_one.provider.outcomes import (
    Ambiguous,
    Created,
    CreateOutcome,
    FeedAnswer,
    NoAnswer,
    NotKnown,
    Rejected,
    Report,
    Retryable,
)

FORMS = {
    path.stem: json.loads(path.read_text())
    for path in sorted((Path(__file__).parent / "provider/forms").glob("*.json"))
}
NOW = 1_795_348_770.0  # 2026-11-22T11:59:30Z, 30 s before the time in error_429_date

KINDS = {
    Created: "accepted",
    Rejected: "rejected",
    Retryable: "refused",
    Ambiguous: "ambiguous",
    Report: "report",
    NotKnown: "not_known",
    NoAnswer: "no_answer",
}
NO_MEDIA = {"video": None, "poster": None, "last_frame": None}


def meaning(route):
    """Parametrize a test with every form that has a meaning as an answer of ``route``."""
    return pytest.mark.parametrize(
        ("name", "means"),
        [
            pytest.param(name, form["means"][route], id=name)
            for name, form in FORMS.items()
            if route in form["means"]
        ],
    )


def body_of(name):
    form = FORMS[name]
    return form["text"].encode() if "text" in form else json.dumps(form["body"]).encode()


def reply_of(name):
    form = FORMS[name]
    return Reply(status=form["status"], headers=form.get("headers", {}), body=body_of(name))


def reply(body, status=200, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, headers=names, body=content)


def shown(answer: CreateOutcome | FeedAnswer | None, means: dict) -> dict:
    """Return the fields of an answer that ``means`` names."""
    fields = {} if answer is None else asdict(answer)
    fields["kind"] = KINDS.get(type(answer))
    if "says" in means:
        fields["says"] = fields["reason"]["message"]
    return {name: fields[name] for name in means}


def expected(means: dict) -> dict:
    """Return ``means`` with None for the media that it leaves out."""
    media = means.get("media")
    return means | ({"media": NO_MEDIA | media} if media else {})
