"""The demo: runs four transfers at once in a local stack, shows their progress, checks the results.

    python -m local.demo [--after N]   numbers its steps from N + 1

The exit status is 0 if everything went as expected, and 1 otherwise.
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

from local.check import (
    TRANSFERS,
    AccessChecks,
    Observed,
    Outcome,
    ProviderRecord,
    SavedFile,
    Transfer,
    differences,
    table,
)
from local.emulator import ROOT, EmulatorError
from local.stack import SHORT_WAITS, LocalStack, StackError, running_stack, use_only_this_machine
from local.status_lines import Status, StatusLines

FOLDER: Final = ROOT / ".local/demo"
OUT: Final = ROOT / "out"
GRACE_SECONDS: Final = float(SHORT_WAITS["CallbackGraceSeconds"])
TRANSFERS_SECONDS: Final = 90.0
REFRESH_SECONDS: Final = 0.15
HTTP_SECONDS: Final = 30.0
END_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

STAGE_TEXTS: Final = {
    "accepted": "accepted; waiting to be submitted",
    "submitting": "being submitted to the provider",
    "unconfirmed": "submitted, but not confirmed",
    "submitted": "submitted and paid; waiting for the callback",
    "running": "running at the provider",
    "storing": "done; being copied to the results bucket",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "canceled",
    "expired": "expired",
}

BY_HAND: Final = """
To do the same with curl, run `make local` in one terminal, and in another, in this folder:

  at() { sed -n "s/.*\\"$1\\": \\"\\(.*\\)\\".*/\\1/p" .local/stack.json; }
  curl -i "$(at api_url)/tasks" -H "x-api-key: $(at api_key)" -H 'Idempotency-Key: mine-1' \\
    -d "{\\"video\\": \\"$(at provider_url)/inputs/performance.mp4?seconds=5\\",
         \\"image\\": \\"$(at provider_url)/inputs/character.png\\"}"
  curl "$(at api_url)/tasks/TASK_ID" -H "x-api-key: $(at api_key)"

Add &callback=lost or &result=failed to the video's query; docs/provider-simulator.md lists more."""


class DemoError(Exception):
    """The demo can't continue; the message says why."""


def main(arguments: list[str]) -> int:
    """Run the demo; returns 0 if everything went as expected, 1 if not, 130 if interrupted."""
    match arguments:
        case []:
            first = 1
        case ["--after", number] if number.isdecimal():
            first = int(number) + 1
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    use_only_this_machine()
    for ending in END_SIGNALS:
        signal.signal(ending, _interrupt)
    try:
        return 0 if run(first) else 1
    except KeyboardInterrupt:
        print("\nInterrupted; the stack is stopped.", file=sys.stderr)
        return 130
    except (StackError, EmulatorError, DemoError) as error:
        print(f"\n{error}", file=sys.stderr)
    except (requests.RequestException, BotoCoreError, ClientError) as error:
        place = FOLDER.relative_to(ROOT)
        print(f"\nThe local stack failed; its logs are in {place}: {error}", file=sys.stderr)
    return 1


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Stop at the first signal; ignore further ones while the stack is being stopped."""
    for ending in END_SIGNALS:
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt


def run(first: int) -> bool:
    """Run the steps, numbered from ``first``; True if everything went as expected."""
    with ExitStack() as ending:
        http = ending.enter_context(requests.Session())
        with _step(first, "Local AWS with IAM enforced"):
            stack = ending.enter_context(running_stack(SHORT_WAITS, FOLDER, _print))
            access = check_access(stack, http)
        with _step(first + 1, "Four transfers at once"):
            started = run_transfers(stack, http, StatusLines(sys.stdout))
        with _step(first + 2, f"Results, saved in {OUT.relative_to(ROOT)}/"):
            observed = observe(stack, http, access, started)
        print("", *table(observed), "", sep="\n")
        return conclude(observed, sys.stdout)


@contextmanager
def _step(number: int, what: str) -> Iterator[None]:
    print(f"{number}. {what}", flush=True)
    began_at = time.monotonic()
    yield
    _print(f"{time.monotonic() - began_at:.1f} s")


def _print(text: str) -> None:
    print(f"   {text}", flush=True)


# ── Access ────────────────────────────────────────────────────────────────────────────────────


def check_access(stack: LocalStack, http: requests.Session) -> AccessChecks:
    """Send requests as the sweeper's role, without an API key, and with a forged callback."""
    dynamodb, secretsmanager = _as_sweeper(stack, "dynamodb"), _as_sweeper(stack, "secretsmanager")
    callback = urlsplit(stack.callback_url)
    forged = http.post(
        f"{stack.endpoint_url}/callbacks/task_1/00000000.forged",
        headers={"Host": callback.netloc},
        data=b"{}",
        timeout=HTTP_SECONDS,
    )
    checks = AccessChecks(
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
    _print(
        f"The sweeper's role {'can' if checks.role_may_query else 'CAN NOT'} read due tasks "
        f"and {'can not' if checks.role_refused_secret else 'CAN'} read the provider key"
    )
    _print(
        f"Status without an API key: {checks.status_without_key}; "
        f"of a forged callback: {forged.status_code}"
    )
    return checks


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
class StartedTransfer:
    """A transfer that was submitted, with its task as last seen."""

    transfer: Transfer
    began_at: float
    task: dict[str, Any]
    replayed: bool
    ended_at: float | None = None

    def seconds(self) -> float:
        return (self.ended_at or time.monotonic()) - self.began_at


def run_transfers(
    stack: LocalStack, http: requests.Session, lines: StatusLines
) -> list[StartedTransfer]:
    """Submit all transfers, then poll them until they are done or the time is over."""
    keys = [f"demo-{secrets.token_hex(8)}" for _ in TRANSFERS]
    started: list[StartedTransfer] = []
    for number, transfer in enumerate(TRANSFERS):
        key = keys[number if transfer.repeats is None else transfer.repeats]
        started.append(_submit(stack, http, transfer, key))
        lines.show([_status(each) for each in started])
    ends_at = time.monotonic() + TRANSFERS_SECONDS
    while any(each.ended_at is None for each in started) and time.monotonic() < ends_at:
        time.sleep(REFRESH_SECONDS)
        for each in started:
            if each.ended_at is None:
                each.task = _get(stack, http, each.task["id"])
                each.ended_at = time.monotonic() if each.task["done"] else None
        lines.show([_status(each) for each in started])
    return started


def _submit(
    stack: LocalStack, http: requests.Session, transfer: Transfer, key: str
) -> StartedTransfer:
    began_at = time.monotonic()
    reply = http.post(
        f"{stack.api_url}/tasks",
        headers={"x-api-key": stack.api_key, "Idempotency-Key": key},
        json={
            "video": f"{stack.provider_url}/inputs/performance.mp4?{transfer.behaviour}",
            "image": f"{stack.provider_url}/inputs/character.png",
        },
        timeout=HTTP_SECONDS,
    )
    if reply.status_code not in {200, 202}:
        raise DemoError(f"POST /v1/tasks answered {reply.status_code}: {reply.text[:500]}")
    return StartedTransfer(
        transfer=transfer,
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


def _status(started: StartedTransfer) -> Status:
    task = started.task
    text = STAGE_TEXTS.get(task["stage"], task["stage"])
    if task["error"]:
        text += f": {task['error']['message']}"
    elif task["done"]:
        text += f" by the {task['settled_by']}"
    elif task["stage"] == "submitted" and started.seconds() > GRACE_SECONDS:
        text = "the callback is overdue; waiting for the fallback"
    if started.replayed:
        text = f"same task: {text}"
    return Status(name=started.transfer.name, seconds=started.seconds(), text=text)


# ── Results ───────────────────────────────────────────────────────────────────────────────────


def observe(
    stack: LocalStack,
    http: requests.Session,
    access: AccessChecks,
    started: Sequence[StartedTransfer],
) -> Observed:
    """Download the results and get the records of the provider and of Step Functions."""
    files: dict[str, SavedFile | None] = {}
    for each in started:
        if each.task["id"] not in files:
            files[each.task["id"]] = _download(each, http)
    return Observed(
        access=access,
        outcomes=tuple(
            Outcome(
                transfer=each.transfer,
                task=each.task,
                replayed=each.replayed,
                seconds=each.seconds(),
                file=files[each.task["id"]],
            )
            for each in started
        ),
        provider=_provider_record(stack, http),
        executions=_executions(stack),
    )


def _download(started: StartedTransfer, http: requests.Session) -> SavedFile | None:
    """Save a task's video, from its link in the API, under the transfer's name."""
    path = OUT / f"{started.transfer.name}.mp4"
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    if not started.task["output"]:
        return None
    digest, size = hashlib.sha256(), 0
    url = started.task["output"]["video"]["url"]
    with http.get(url, stream=True, timeout=HTTP_SECONDS) as reply, path.open("wb") as file:
        if reply.status_code != 200:
            return None
        for chunk in reply.iter_content(262_144):
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    return SavedFile(path=path.relative_to(ROOT), size=size, sha256=digest.hexdigest())


def _provider_record(stack: LocalStack, http: requests.Session) -> ProviderRecord:
    bill = http.get(f"{stack.provider_url}/_simulator/bill", timeout=HTTP_SECONDS).json()
    tasks = http.get(f"{stack.provider_url}/_simulator/tasks", timeout=HTTP_SECONDS).json()
    videos = {task["task_id"]: task["media"]["result.mp4"] for task in tasks}
    return ProviderRecord(
        creates_seen=bill["creates_seen"],
        micro_dollars=bill["micro_dollars"],
        paid=bill["by_callback"],
        served={task_id: (video["bytes"], video["sha256"]) for task_id, video in videos.items()},
        callbacks={task["task_id"]: len(task["callbacks"]) for task in tasks},
    )


def _executions(stack: LocalStack) -> Counter[str]:
    """Count the fallback's executions by task id; their names are ``<task id>-<number>``."""
    found = stack.client("stepfunctions").list_executions(stateMachineArn=stack.fallback_arn)
    return Counter(execution["name"].rpartition("-")[0] for execution in found["executions"])


def conclude(observed: Observed, out: TextIO) -> bool:
    """Print whether everything went as expected, and what to try next; True if it did."""
    different = differences(observed)
    provider = observed.provider
    most = max(provider.paid.values(), default=0)
    print(
        f"The provider received {provider.creates_seen} creates and billed "
        f"{sum(provider.paid.values())} (a real one would charge "
        f"${provider.micro_dollars / 1e6:.2f}); "
        f"{'no task was paid twice' if most < 2 else f'A TASK WAS PAID {most} TIMES'}.",
        file=out,
    )
    if different:
        print("\nThis is not as expected:", *different, sep="\n  - ", file=out)
        return False
    print(
        "Everything went as expected; each file is byte for byte what the provider served.",
        file=out,
    )
    print(BY_HAND, file=out, flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
