"""Writes the conclusions as JSON and Markdown that may be attached to a bug report."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from ops.probe import redact
from ops.probe.conclusions import Conclusion, conclusions
from ops.probe.receiver.app import run_of
from ops.probe.shapes import object_in
from ops.probe.state import State, Step


def write_report(state: State, key: str, file: Path) -> list[Conclusion]:
    """Write the report, and the same as Markdown beside it. Returns what it says."""
    found = conclusions(state)
    secrets = [*secrets_of(state, key)]
    document = {
        "probed": [time.strftime("%Y-%m-%d", time.gmtime(one.sent_at)) for one in _steps(state)],
        "provider": redact.url(state.provider)["host"],
        "conclusions": [
            {"name": one.name, "question": one.question, "answer": one.answer, "seen": one.seen}
            for one in found
        ],
    }
    text = json.dumps(document, indent=2, ensure_ascii=False)
    file.write_text(redact.without(text, secrets) + "\n")
    file.with_suffix(".md").write_text(redact.without(_markdown(found), secrets))
    return found


def _markdown(found: list[Conclusion]) -> str:
    rows = [f"| {_cell(one.question)} | {_cell(one.answer)} |" for one in found]
    examples = [
        f"## {one.name}\n\n```json\n{json.dumps(one.seen, indent=2, ensure_ascii=False)}\n```\n"
        for one in found
        if one.seen
    ]
    table = "\n".join(["| question | answer |", "|---|---|", *rows])
    return f"# What the provider does\n\n{table}\n\n" + "\n".join(examples)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _steps(state: State) -> list[Step]:
    return [*state.steps.values()]


def secrets_of(state: State, key: str) -> Iterator[str]:
    """List everything in a state that a report must not have."""
    yield from (key, state.secret, run_of(state.secret), state.receiver)
    yield urlsplit(state.receiver).hostname or ""
    for step in state.steps.values():
        yield from (step.task_id, step.result_url, urlsplit(step.result_url).path)
        yield urlsplit(step.result_url).query
        bodies = [look.body for look in step.looks] + [one.body for one in step.records]
        bodies += [step.create.body] if step.create else []
        for body in bodies:
            yield from _ids_in(object_in(body))


def _ids_in(found: object) -> Iterator[str]:
    """List the ids in a document: of tasks, users and channels."""
    if isinstance(found, dict):
        for name, value in found.items():
            is_id = name == "id" or name.endswith(("_id", "Id"))
            if is_id and isinstance(value, str | int) and not isinstance(value, bool):
                yield str(value)
            yield from _ids_in(value)
    elif isinstance(found, list):
        for one in found:
            yield from _ids_in(one)
