"""The demo: four transfers side by side, in a stack on this machine, watched and then checked.

    python -m local.demo [--after N]   begins its numbered steps after N

The exit status is 0 only if everything went as announced, and 1 otherwise.
"""

import hashlib
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final, TextIO
from urllib.parse import urlsplit

import boto3
import requests
from botocore.exceptions import BotoCoreError, ClientError

from local.emulator import ROOT, EmulatorError
from local.live import Live, Status
from local.stack import (
    SHORT_WAITS,
    LocalStack,
    StackError,
    running_stack,
    use_only_this_machine,
)
from local.verdict import (
    TRANSFERS,
    Announced,
    Books,
    Facts,
    Guards,
    Outcome,
    SavedFile,
    differences,
    table,
)

FOLDER: Final = ROOT / ".local/demo"
OUT: Final = ROOT / "out"
GRACE_SECONDS: Final = float(SHORT_WAITS["CallbackGraceSeconds"])
TRANSFERS_SECONDS: Final = 90.0
LOOK_SECONDS: Final = 0.15
HTTP_SECONDS: Final = 30.0
ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

WORDS: Final = {
    "accepted": "waits for its turn",
    "submitting": "is being sent",
    "unconfirmed": "may have been sent",
    "submitted": "sent and paid; waiting for the callback",
    "running": "the provider is at work",
    "storing": "done there; being copied into our bucket",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "canceled",
    "expired": "expired",
}

BY_HAND: Final = """
By hand, the same with curl: `make local` in one terminal, and in another, in this folder:

  at() { sed -n "s/.*\\"$1\\": \\"\\(.*\\)\\".*/\\1/p" .local/stack.json; }
  curl -i "$(at api_url)/tasks" -H "x-api-key: $(at api_key)" -H 'Idempotency-Key: mine-1' \\
    -d "{\\"video\\": \\"$(at provider_url)/inputs/performance.mp4?seconds=5\\",
         \\"image\\": \\"$(at provider_url)/inputs/character.png\\"}"
  curl "$(at api_url)/tasks/TASK_ID" -H "x-api-key: $(at api_key)"

Add &callback=lost or &result=failed to the video's query; docs/provider-simulator.md has more."""


class DemoError(Exception):
    """The demo can't go on; the message says why."""


def main(arguments: list[str]) -> int:
    """Run the demo; 0 if all went as announced, 1 if not, 130 if it was interrupted."""
    match arguments:
        case []:
            first = 1
        case ["--after", number] if number.isdecimal():
            first = int(number) + 1
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    use_only_this_machine()
    for ending in ENDING:
        signal.signal(ending, _interrupt)
    try:
        return 0 if run(first) else 1
    except KeyboardInterrupt:
        print("\nInterrupted; everything is stopped.", file=sys.stderr)
        return 130
    except (StackError, EmulatorError, DemoError) as error:
        print(f"\n{error}", file=sys.stderr)
    except (requests.RequestException, BotoCoreError, ClientError) as error:
        place = FOLDER.relative_to(ROOT)
        print(f"\nThe local stack gave out, its logs are in {place}: {error}", file=sys.stderr)
    return 1


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Unwind once: a second signal must not disturb the stopping."""
    for ending in ENDING:
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt


def run(first: int) -> bool:
    """Run the steps, the first of them numbered ``first``; True if all went as announced."""
    with ExitStack() as ending:
        http = ending.enter_context(requests.Session())
        with _step(first, "Local AWS, with IAM on"):
            stack = ending.enter_context(running_stack(SHORT_WAITS, FOLDER, _say))
            guards = try_guards(stack, http)
        with _step(first + 1, "Four transfers, side by side"):
            followed = transfer(stack, http, Live(sys.stdout))
        with _step(first + 2, f"Results, into {OUT.relative_to(ROOT)}/"):
            facts = gather(stack, http, guards, followed)
        print("", *table(facts), "", sep="\n")
        return conclude(facts, sys.stdout)


@contextmanager
def _step(number: int, what: str) -> Iterator[None]:
    print(f"{number}. {what}", flush=True)
    began_at = time.monotonic()
    yield
    _say(f"{time.monotonic() - began_at:.1f} s")


def _say(text: str) -> None:
    print(f"   {text}", flush=True)


# ── Who gets in ───────────────────────────────────────────────────────────────────────────────


def try_guards(stack: LocalStack, http: requests.Session) -> Guards:
    """Knock as the sweeper's role, without an API key, and with a callback nobody asked for."""
    dynamodb, secretsmanager = _as_sweeper(stack, "dynamodb"), _as_sweeper(stack, "secretsmanager")
    callback = urlsplit(stack.callback_url)
    forged = http.post(
        f"{stack.endpoint_url}/callbacks/task_1/00000000.forged",
        headers={"Host": callback.netloc},
        data=b"{}",
        timeout=HTTP_SECONDS,
    )
    guards = Guards(
        role_may_query=_is_allowed(
            dynamodb.query,
            TableName=stack.tasks_table,
            IndexName="due",
            KeyConditionExpression="watched = :open",
            ExpressionAttributeValues={":open": {"S": "open"}},
        ),
        role_refused_secret=not _is_allowed(
            secretsmanager.get_secret_value, SecretId=f"{stack.stack_name}/provider"
        ),
        status_without_key=http.post(f"{stack.api_url}/tasks", timeout=HTTP_SECONDS).status_code,
        status_of_forged_callback=forged.status_code,
    )
    _say(
        f"The sweeper's role {'may' if guards.role_may_query else 'MAY NOT'} read due tasks, "
        f"{'may not' if guards.role_refused_secret else 'MAY'} read the provider key"
    )
    _say(
        f"Without an API key: {guards.status_without_key}; a forged callback: {forged.status_code}"
    )
    return guards


def _as_sweeper(stack: LocalStack, service: str) -> Any:  # noqa: ANN401 - the name decides the type
    function = stack.client("lambda").get_function_configuration(
        FunctionName=stack.sweeper_function
    )
    assumed = stack.client("sts").assume_role(RoleArn=function["Role"], RoleSessionName="demo")
    credentials = assumed["Credentials"]
    return boto3.session.Session().client(
        service,  # type: ignore[call-overload]  # typed for literal names only
        endpoint_url=stack.endpoint_url,
        region_name=stack.region,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )


def _is_allowed(call: Callable[..., object], **arguments: object) -> bool:
    try:
        call(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDeniedException":
            raise
        return False
    return True


# ── The transfers ─────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True, kw_only=True)
class Followed:
    """A transfer while it is being watched."""

    announced: Announced
    began_at: float
    task: dict[str, Any]
    replayed: bool
    ended_at: float | None = None

    def seconds(self) -> float:
        return (self.ended_at or time.monotonic()) - self.began_at


def transfer(stack: LocalStack, http: requests.Session, live: Live) -> list[Followed]:
    """Submit every transfer, then watch all of them until they are done or time is up."""
    keys = [f"demo-{secrets.token_hex(8)}" for _ in TRANSFERS]
    followed: list[Followed] = []
    for number, announced in enumerate(TRANSFERS):
        key = keys[number if announced.repeats is None else announced.repeats]
        followed.append(_submit(stack, http, announced, key))
        live.show([_status(one) for one in followed])
    ends_at = time.monotonic() + TRANSFERS_SECONDS
    while any(one.ended_at is None for one in followed) and time.monotonic() < ends_at:
        time.sleep(LOOK_SECONDS)
        for one in followed:
            if one.ended_at is None:
                one.task = _get(stack, http, one.task["id"])
                one.ended_at = time.monotonic() if one.task["done"] else None
        live.show([_status(one) for one in followed])
    return followed


def _submit(stack: LocalStack, http: requests.Session, announced: Announced, key: str) -> Followed:
    began_at = time.monotonic()
    reply = http.post(
        f"{stack.api_url}/tasks",
        headers={"x-api-key": stack.api_key, "Idempotency-Key": key},
        json={
            "video": f"{stack.provider_url}/inputs/performance.mp4?{announced.behaviour}",
            "image": f"{stack.provider_url}/inputs/character.png",
        },
        timeout=HTTP_SECONDS,
    )
    if reply.status_code not in {200, 202}:
        raise DemoError(f"POST /v1/tasks answered {reply.status_code}: {reply.text[:500]}")
    return Followed(
        announced=announced,
        began_at=began_at,
        task=reply.json(),
        replayed=reply.headers.get("Idempotent-Replayed") == "true",
    )


def _get(stack: LocalStack, http: requests.Session, task_id: str) -> dict[str, Any]:
    reply = http.get(
        f"{stack.api_url}/tasks/{task_id}",
        headers={"x-api-key": stack.api_key},
        timeout=HTTP_SECONDS,
    )
    if reply.status_code != 200:
        raise DemoError(f"GET /v1/tasks/{task_id} answered {reply.status_code}: {reply.text[:500]}")
    task: dict[str, Any] = reply.json()
    return task


def _status(one: Followed) -> Status:
    task = one.task
    says = WORDS.get(task["stage"], task["stage"])
    if task["error"]:
        says += f": {task['error']['message']}"
    elif task["done"]:
        says += f", by way of the {task['settled_by']}"
    elif task["stage"] == "submitted" and one.seconds() > GRACE_SECONDS:
        says = "the callback is overdue; waiting for the fallback"
    if one.replayed:
        says = f"same task: {says}"
    return Status(name=one.announced.name, seconds=one.seconds(), says=says)


# ── What came of them ─────────────────────────────────────────────────────────────────────────


def gather(
    stack: LocalStack, http: requests.Session, guards: Guards, followed: Sequence[Followed]
) -> Facts:
    """Download the results, and ask the provider and Step Functions what they know of it."""
    files: dict[str, SavedFile | None] = {}
    for one in followed:
        if one.task["id"] not in files:
            files[one.task["id"]] = _download(one, http)
    return Facts(
        guards=guards,
        outcomes=tuple(
            Outcome(
                announced=one.announced,
                task=one.task,
                replayed=one.replayed,
                seconds=one.seconds(),
                file=files[one.task["id"]],
            )
            for one in followed
        ),
        books=_books(stack, http),
        executions=_executions(stack),
    )


def _download(one: Followed, http: requests.Session) -> SavedFile | None:
    """Save a task's video under the transfer's name, from the link that the API gave."""
    path = OUT / f"{one.announced.name}.mp4"
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    if not one.task["output"]:
        return None
    digest, size = hashlib.sha256(), 0
    url = one.task["output"]["video"]["url"]
    with http.get(url, stream=True, timeout=HTTP_SECONDS) as reply, path.open("wb") as file:
        if reply.status_code != 200:
            return None
        for chunk in reply.iter_content(262_144):
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    return SavedFile(path=path.relative_to(ROOT), size=size, sha256=digest.hexdigest())


def _books(stack: LocalStack, http: requests.Session) -> Books:
    bill = http.get(f"{stack.provider_url}/_simulator/bill", timeout=HTTP_SECONDS).json()
    tasks = http.get(f"{stack.provider_url}/_simulator/tasks", timeout=HTTP_SECONDS).json()
    videos = {task["task_id"]: task["media"]["result.mp4"] for task in tasks}
    return Books(
        creates_seen=bill["creates_seen"],
        micro_dollars=bill["micro_dollars"],
        paid=bill["by_callback"],
        served={task_id: (video["bytes"], video["sha256"]) for task_id, video in videos.items()},
        callbacks={task["task_id"]: len(task["callbacks"]) for task in tasks},
    )


def _executions(stack: LocalStack) -> Counter[str]:
    """Count the fallback's executions by task; they are named task id, hyphen, look."""
    found = stack.client("stepfunctions").list_executions(stateMachineArn=stack.fallback_arn)
    return Counter(execution["name"].rpartition("-")[0] for execution in found["executions"])


def conclude(facts: Facts, out: TextIO) -> bool:
    """Say whether all went as announced, and what to try next; True if it did."""
    different = differences(facts)
    books = facts.books
    most = max(books.paid.values(), default=0)
    print(
        f"The provider saw {books.creates_seen} creates and was paid for "
        f"{sum(books.paid.values())} (${books.micro_dollars / 1e6:.2f}, had it been real); "
        f"{'none was paid twice' if most < 2 else f'ONE WAS PAID {most} TIMES'}.",
        file=out,
    )
    if different:
        print("\nThis did not go as announced:", *different, sep="\n  - ", file=out)
        return False
    print("All went as announced; each file is, byte for byte, what the provider served.", file=out)
    print(BY_HAND, file=out, flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
