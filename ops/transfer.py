"""The paid transfer of `make smoke`: one task, from its files to its stored result.

Its idempotency key belongs to the latest deployment. So a repeat waits for the same task and pays
nothing; another key is another attempt.
"""

import hashlib
import json
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import requests

from ops.deployed import HTTP_SECONDS, Stack, api_key, json_object, request
from ops.findings import Finding, ok, problem, show, warning
from ops.stacks import CommandError

WAIT_SECONDS: Final = 20
"""How long one read of the paid task waits for its end."""
_MEDIA_TYPES: Final[Mapping[str, str]] = {
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}


def transfer(stack: Stack, asked: Namespace) -> Iterator[Finding]:
    """Run one transfer to its end, and compare the stored result with what the task says."""
    key = asked.key or attempt_key(stack)
    body = {"consent": "make smoke", "metadata": {"made_by": "make smoke"}, **_inputs(stack, asked)}
    headers = {"x-api-key": api_key(stack), "Idempotency-Key": key}
    url = f"{stack.outputs['ApiUrl']}/tasks"
    show(f"{'':13}sending a transfer with the Idempotency-Key {key}")
    try:
        answer = request("POST", url, headers, json.dumps(body).encode())
    except CommandError as error:
        yield problem(
            f"{error} The task may exist and be paid for: the same command finds it, and never "
            "pays twice"
        )
        return
    task = json_object(answer)
    if answer.status_code not in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
        yield problem(_refusal(answer, task, key))
        return
    repeats = answer.headers.get("Idempotent-Replayed") == "true"
    yield ok(
        f"{task['id']} {'was created by an earlier run' if repeats else 'is created'}: "
        f"follow it with `make trace STACK={stack.name} TASK={task['id']}`"
    )
    task = _wait(url, headers, task, asked.seconds)
    if not task["done"]:
        yield problem(
            f"{task['id']} is {task['stage']} after {asked.seconds} s; the same command waits for "
            "it again, and pays nothing"
        )
    elif task["status"] != "succeeded":
        yield problem(
            f"{task['id']} {task['status']} ({task['error']['code'] if task['error'] else '-'}: "
            f"{task['error']['message'] if task['error'] else '-'}; billing {task['billing']}); "
            "for another attempt, which is paid for, add KEY=another-1"
        )
    else:
        yield from _check_result(stack, task)


def attempt_key(stack: Stack) -> str:
    """Return the idempotency key of the latest deployment, so that a repeat never pays twice."""
    deployment = hashlib.sha256(f"{stack.id} {stack.changed_at}".encode()).hexdigest()
    return f"smoke-{deployment[:16]}"


def _refusal(answer: requests.Response, found: Mapping[str, Any], key: str) -> str:
    if found.get("code") == "idempotency-key-reused":
        return (
            f"an earlier run has used the key {key} with other files: give the same ones, or "
            "KEY=another-1 for another attempt, which is paid for"
        )
    said = found.get("detail") or answer.text[:200]
    return f"POST /v1/tasks answers {answer.status_code} {found.get('code', '')}: {said}"


def _inputs(stack: Stack, asked: Namespace) -> dict[str, str]:
    """Return the members of the request that name its inputs; files are uploaded."""
    given = {"video": asked.video, "image": asked.image}
    if is_url(asked.video):
        return given
    answer = request(
        "POST", f"{stack.outputs['ApiUrl']}/uploads", {"x-api-key": api_key(stack)}, b"{}"
    )
    upload = json_object(answer)
    if answer.status_code != HTTPStatus.CREATED:
        raise CommandError(f"POST /v1/uploads answers {answer.status_code}: see TasksLogs.")
    for kind, name in given.items():
        _upload(Path(name), upload[kind])
    return {"upload_id": str(upload["upload_id"])}


def is_url(text: str) -> bool:
    return text.startswith(("https://", "http://", "s3://"))


def _upload(file: Path, form: Mapping[str, Any]) -> None:
    media_type, content = _MEDIA_TYPES[file.suffix.lower()], file.read_bytes()
    try:
        answer = requests.post(
            form["url"],
            data={**form["fields"], "Content-Type": media_type},
            files={"file": (file.name, content, media_type)},
            timeout=HTTP_SECONDS,
        )
    except requests.RequestException as error:
        raise CommandError(f"{file.name} can't be uploaded: {type(error).__name__}.") from error
    if not answer.ok:
        raise CommandError(f"{file.name} can't be uploaded: S3 answers {answer.status_code}.")


def _wait(
    url: str, headers: Mapping[str, str], task: dict[str, Any], seconds: float
) -> dict[str, Any]:
    """Read a task until it is done, or the time is over; show each change of its stage."""
    began_at = time.monotonic()
    shown = ""
    while True:
        if task["stage"] != shown:
            shown = task["stage"]
            show(f"{'':13}{time.monotonic() - began_at:.0f} s: {shown}")
        left = seconds - (time.monotonic() - began_at)
        if task["done"] or left <= 0:
            return task
        wait = max(1, min(WAIT_SECONDS, int(left)))
        with suppress(CommandError):  # a failed read is repeated: the task goes on meanwhile
            answer = request("GET", f"{url}/{task['id']}?wait={wait}", headers)
            if answer.status_code == HTTPStatus.OK:
                task = json_object(answer)
                continue
        time.sleep(1)


def _check_result(stack: Stack, task: Mapping[str, Any]) -> Iterator[Finding]:
    """Read the stored video again, and compare it with the size and the hash in the task."""
    video = task["output"]["video"]
    place = urlsplit(video["s3_uri"])
    digest, size = hashlib.sha256(), 0
    stored = stack.client("s3").get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))
    for piece in stored["Body"].iter_chunks(1_048_576):
        digest.update(piece)
        size += len(piece)
    if (size, digest.hexdigest()) != (video["bytes"], video["sha256"]):
        yield problem(f"{video['s3_uri']} is not what the task says: {size} bytes are stored")
    else:
        yield ok(f"its video is in the bucket, {size} bytes with the hash that the task names")
    if task["settled_by"] in {"callback", "callback_body"}:
        yield ok("the provider's callback brought the result")
    else:
        yield warning(
            f"the {task['settled_by']} brought the result, not a callback: if that stays so, "
            "each task takes CallbackGraceSeconds longer; docs/operations.md"
        )


def check_file(name: str, kind: str) -> None:
    """Raise ``CommandError`` unless a file is there whose name ends as one of its kind."""
    endings = [ending for ending, media_type in _MEDIA_TYPES.items() if media_type.startswith(kind)]
    if Path(name).suffix.lower() not in endings:
        raise CommandError(f"{name!r} must end in one of {', '.join(endings)}.")
    if not Path(name).is_file():
        raise CommandError(f"There is no file {name!r}.")
