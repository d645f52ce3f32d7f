"""Check a deployed stack from outside and inside; with `--paid`, by one paid transfer too.

    python -m ops.smoke STACK [--paid] [--video FILE_OR_URL --image FILE_OR_URL]
                              [--key KEY] [--seconds 1800]

with the operator's own AWS credentials. Without `--paid` nothing is paid for, and on a terminal the
command asks first. It prints a line for each check; the exit status is 2 while a problem stands.

The transfer has an idempotency key of the latest deployment: until the next one, a repeat waits for
the same task and pays nothing. `--key` names another attempt.
"""

import hashlib
import json
import secrets
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import boto3
import requests

from act_one.clock import system_clock
from act_one.keys import KeyNotSetError, KeyRing
from act_one.provider.client import CometApi
from act_one.provider.outcomes import NoAnswer
from act_one.webhooks.secrets import WebhookSecretError, client_secrets
from ops.deployed import HTTP_SECONDS, Resource, Stack, request
from ops.findings import Check, Finding, examine, ok, problem, summary, warning
from ops.stacks import NOT_DONE, CommandError, CommandParser, run

ROOT: Final = Path(__file__).resolve().parent.parent
USAGE: Final = "make smoke STACK=act-one"
MEDIA: Final = ROOT / "local/media"
FEED_SECONDS: Final = 20.0
WAIT_SECONDS: Final = 20
"""How long one read of the paid task waits for its end."""
PROBLEM_TYPE: Final = "application/problem+json"
_GOOD_STATES: Final = frozenset(
    {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE"}
)
_MEDIA_TYPES: Final[Mapping[str, str]] = {
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}


# ── The API ───────────────────────────────────────────────────────────────────────────────────


def api_key(stack: Stack) -> str:
    """Read the stack's own API key, which is never shown."""
    answer = stack.client("apigateway").get_api_key(
        apiKey=stack.outputs["ApiKeyId"], includeValue=True
    )
    return str(answer["value"])


def api(stack: Stack) -> Iterator[Finding]:
    """Check that the API answers with its key, and refuses requests without one."""
    url, key = stack.outputs["ApiUrl"], {"x-api-key": api_key(stack)}
    unknown = f"{url}/tasks/task_{secrets.token_hex(16)}"
    yield answered(
        request("GET", unknown, key),
        HTTPStatus.NOT_FOUND,
        "task-not-found",
        "the API takes its key",
        "TasksFunction doesn't answer as it should: see its log group TasksLogs",
    )
    refused = request("GET", unknown)
    yield answered(
        refused,
        HTTPStatus.FORBIDDEN,
        "api-key-missing",
        "the API refuses requests without a key",
        "deploy again: the API's stage is not that of template.yaml",
    )
    yield answered(
        request("GET", f"{url}/no-such-route", key),
        HTTPStatus.NOT_FOUND,
        "no-such-route",
        "API Gateway's own replies are problem documents",
        "deploy again: the API's gateway responses are not those of template.yaml",
    )
    description = request("GET", f"{url}/openapi.json").status_code
    wanted = HTTPStatus.OK if stack.parameters.get("ApiDocs") == "true" else HTTPStatus.NOT_FOUND
    if description != wanted:
        yield problem(f"GET /v1/openapi.json answers {description}, not {wanted}: see DocsLogs")


def answered(answer: requests.Response, status: int, code: str, good: str, advice: str) -> Finding:
    """Compare a reply with the problem document that it should be."""
    found = _document(answer).get("code")
    media_type = answer.headers.get("Content-Type", "").partition(";")[0]
    if answer.status_code != status or found != code:
        return problem(
            f"{answer.request.method} {urlsplit(str(answer.request.url)).path} answers "
            f"{answer.status_code} {found or answer.text[:80]!r}, not {status} {code}: {advice}"
        )
    if media_type != PROBLEM_TYPE:
        return warning(
            f"{good}, but the reply {code} is sent as {media_type or 'no type'}, not "
            f"{PROBLEM_TYPE}: a client must recognise it by its status"
        )
    return ok(f"{good} ({status} {code})")


def _document(answer: requests.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def dry_run(stack: Stack) -> Iterator[Finding]:
    """Check, by a dry run, that a task would be created: nothing is written, sent or paid."""
    body = {
        "video": "https://example.com/performance.mp4",
        "image": "https://example.com/character.png",
        "consent": "make smoke",
        "preflight": "off",
        "dry_run": True,
    }
    answer = request(
        "POST",
        f"{stack.outputs['ApiUrl']}/tasks",
        {"x-api-key": api_key(stack)},
        json.dumps(body).encode(),
    )
    found = _document(answer)
    code = found.get("code")
    if answer.status_code == HTTPStatus.OK and found.get("would") == "create":
        cost = int(found["cost_micro_usd"]) / 1_000_000
        yield ok(f"a request would create a task, which the provider charges ${cost:g}")
        yield _budget(found.get("budget"))
    elif answer.status_code == HTTPStatus.OK:
        yield warning(
            f"sending is paused, and requests wait: `make resume STACK={stack.name}` ends that"
        )
    elif code == "provider-key-not-set":
        yield problem(
            f"requests are refused, because the provider key isn't set: {_put_key(stack)}"
        )
    elif answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        yield warning(f"requests are refused for now: {found.get('detail')}")
    else:
        yield problem(
            f"a dry run of POST /v1/tasks answers {answer.status_code} "
            f"{code or answer.text[:80]!r}: see SubmitLogs"
        )


def _budget(budget: object) -> Finding:
    if isinstance(budget, dict):
        left = int(budget["left_micro_usd"]) / 1_000_000
        return ok(f"today's budget has ${left:g} left")
    return warning(
        "neither DailyBudgetUsd nor the client `default` limits what this key may spend: "
        "docs/clients.md#budgets"
    )


# ── The callback ──────────────────────────────────────────────────────────────────────────────


def callback(stack: Stack) -> Iterator[Finding]:
    """Check that callbacks reach their function, by one with a token that isn't ours."""
    bases = {stack.outputs["CallbackUrl"], stack.parameters.get("CallbackBaseUrl", "")} - {""}
    for base in sorted(bases):
        url = f"{base.rstrip('/')}/callbacks/task_{secrets.token_hex(16)}/00000000.smoke"
        answer = request("POST", url, {"Content-Type": "application/json"}, b"{}")
        ours = _document(answer).get("code") == "not-found"
        host = urlsplit(base).netloc
        if answer.status_code == HTTPStatus.NOT_FOUND and ours:
            yield ok(f"callbacks reach their function, which refuses a wrong token ({host})")
        elif answer.status_code == HTTPStatus.FORBIDDEN:
            yield problem(
                f"AWS refuses callbacks itself (403, {host}). A public function URL needs two "
                "permissions since October 2025, lambda:InvokeFunctionUrl and "
                "lambda:InvokeFunction; an organization may forbid public ones: then deploy with "
                "CallbackIngress=Api"
            )
        else:
            yield problem(
                f"a callback with a wrong token gets {answer.status_code} from {host}, not the "
                "404 of our function: see CallbackLogs and docs/operations.md"
            )
    yield from callback_permissions(stack)


def callback_permissions(stack: Stack) -> Iterator[Finding]:
    """Check the function's policy: a missing statement is named, whatever answered above."""
    client = stack.client("lambda")
    try:
        policy = client.get_policy(FunctionName=stack.id_of("CallbackFunction"))["Policy"]
        statements = json.loads(policy)["Statement"]
    except client.exceptions.ResourceNotFoundException:
        statements = []
    by_url = stack.parameters.get("CallbackIngress") != "Api"
    needed = (
        {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}
        if by_url
        else {"lambda:InvokeFunction"}
    )
    principal = "*" if by_url else "apigateway.amazonaws.com"
    allowed = {
        one["Action"]
        for one in statements
        if one["Effect"] == "Allow" and principal in _principals(one["Principal"])
    }
    missing = sorted(needed - allowed)
    if missing:
        yield problem(
            f"CallbackFunction's policy doesn't allow {' and '.join(missing)} to "
            f"{'everybody' if by_url else principal}: callbacks get 403, and each task waits for "
            "the fallback; deploy the template as it is"
        )


def _principals(principal: object) -> set[str]:
    """Return who a statement of a policy names, in either of the forms that AWS writes."""
    if isinstance(principal, str):
        return {principal}
    named = principal.values() if isinstance(principal, Mapping) else ()
    return {one for value in named for one in ([value] if isinstance(value, str) else value)}


# ── The provider and the secrets ──────────────────────────────────────────────────────────────


def provider_key(stack: Stack) -> Iterator[Finding]:
    """Check the provider key by asking the feed, which is free, about a task that isn't there."""
    settings = stack.client("lambda").get_function_configuration(
        FunctionName=stack.id_of("SubmitFunction")
    )["Environment"]["Variables"]
    base_url, secret = settings["PROVIDER_BASE_URL"], settings["PROVIDER_SECRET"]
    provider = CometApi(
        base_url=base_url,
        runway_version=settings["RUNWAY_VERSION"],
        key_ring=KeyRing(_vault_of(secret, stack), secret, system_clock),
        clock=system_clock,
    )
    try:
        provider.key_ring.keys()
    except KeyNotSetError:
        yield problem(f"the secret {secret} holds no key: {_put_key(stack)}")
        return
    answer = provider.feed(f"smoke-{secrets.token_hex(8)}", seconds=FEED_SECONDS)
    if not isinstance(answer, NoAnswer):
        yield ok(f"{base_url} takes the provider key, and doesn't know a made-up task")
    elif answer.key_refused:
        yield problem(
            f"{base_url} refuses the key in {secret}: tasks would wait for six hours; "
            f"{_put_key(stack)}"
        )
    else:
        yield problem(f"{base_url} doesn't answer about a task: {answer.reason}")


def _vault_of(secret: str, stack: Stack) -> Any:  # noqa: ANN401 - boto3's
    """Return the client for a secret: one that the stack was given may be in another region."""
    if secret.startswith("arn:"):
        return stack.session.client("secretsmanager", region_name=secret.split(":")[3])
    return stack.client("secretsmanager")


def _put_key(stack: Stack) -> str:
    return f"`{stack.outputs['ProviderKeyCommand']}`"


def signing_secrets(stack: Stack) -> Iterator[Finding]:
    """Check that the secrets of callbacks and webhooks can be used; neither is shown."""
    client = stack.client("secretsmanager")
    for name in ("callback", "webhook"):
        secret = f"{stack.name}/{name}"
        try:
            ring = KeyRing(client, secret, system_clock)
            if name == "webhook":
                client_secrets(ring.keys(), "default")
            ring.keys()
        except KeyNotSetError:
            yield problem(
                f"the secret {secret} has no usable value: docs/operations.md#the-{name}-secret"
            )
        except WebhookSecretError as error:
            yield problem(
                f"the secret {secret} can't be used: {error}; "
                f"docs/operations.md#the-{name}-secret says how to set it"
            )
        else:
            yield ok(f"the secret {secret} has a value")


# ── What moves tasks ──────────────────────────────────────────────────────────────────────────


def status(stack: Stack) -> Iterator[Finding]:
    """Check that the stack is deployed as a whole."""
    if stack.status in _GOOD_STATES:
        yield ok(f"the stack {stack.name} is {stack.status}, as of {stack.changed_at}")
    else:
        yield problem(f"the stack {stack.name} is {stack.status}: `make doctor` says what to do")


def functions(stack: Stack) -> Iterator[Finding]:
    """Check that each function is active, and may run at all."""
    client, found = stack.client("lambda"), stack.of_type("AWS::Lambda::Function")
    bad = []
    for one in found:
        try:
            configuration = client.get_function_configuration(FunctionName=one.id)
        except client.exceptions.ResourceNotFoundException:
            bad.append(problem(f"{one.name} is gone: deploy again"))
            continue
        state = configuration.get("State", "Active")
        last = configuration.get("LastUpdateStatus", "Successful")
        if state not in {"Active", "Inactive"} or last == "Failed":
            why = configuration.get("StateReason") or configuration.get("LastUpdateStatusReason")
            bad.append(problem(f"{one.name} is {state}, its last update {last}: {why}"))
        reserved = client.get_function_concurrency(FunctionName=one.id)
        if reserved.get("ReservedConcurrentExecutions") == 0:
            bad.append(
                problem(
                    f"{one.name} may not run: 0 executions are reserved for it; `aws lambda "
                    f"delete-function-concurrency --function-name {one.id}`"
                )
            )
    yield from bad or [ok(f"all {len(found)} functions can run")]


def event_sources(stack: Stack) -> Iterator[Finding]:
    """Check that queues and the table's stream are read."""
    client, found = stack.client("lambda"), stack.of_type("AWS::Lambda::EventSourceMapping")
    bad = []
    for one in found:
        try:
            mapping = client.get_event_source_mapping(UUID=one.id)
        except client.exceptions.ResourceNotFoundException:
            bad.append(problem(f"the event source {one.name} is gone: deploy again"))
            continue
        if mapping["State"] not in {"Enabled", "Enabling", "Updating", "Creating"}:
            bad.append(
                problem(
                    f"the event source {one.name} is {mapping['State']}: its messages pile up; "
                    f"`aws lambda update-event-source-mapping --uuid {one.id} --enabled`"
                )
            )
        elif "PROBLEM" in str(mapping.get("LastProcessingResult", "")).upper():
            bad.append(warning(f"{one.name} last said: {mapping['LastProcessingResult']}"))
    yield from bad or [ok(f"all {len(found)} event sources are enabled")]


def rules(stack: Stack) -> Iterator[Finding]:
    """Check that each rule is there, enabled, and leads somewhere."""
    client, found = stack.client("events"), stack.of_type("AWS::Events::Rule")
    bad = [finding for one in found for finding in _rule(one, stack.outputs["EventBus"], client)]
    yield from bad or [ok(f"all {len(found)} rules are enabled and have targets")]


def _rule(rule: Resource, bus: str, client: Any) -> Iterator[Finding]:  # noqa: ANN401 - boto3's
    """Check one rule. The id of a rule on another bus than the default begins with the bus."""
    name = rule.id.rpartition("|")[2]
    for place in (bus, "default"):
        try:
            found = client.describe_rule(Name=name, EventBusName=place)
        except client.exceptions.ResourceNotFoundException:
            continue
        if found["State"] == "DISABLED":
            yield problem(
                f"the rule {rule.name} is disabled: `aws events enable-rule --name {name} "
                f"--event-bus-name {place}`"
            )
        elif not client.list_targets_by_rule(Rule=name, EventBusName=place)["Targets"]:
            yield problem(f"the rule {rule.name} has no target: deploy again")
        return
    yield problem(f"the rule {rule.name} is gone: deploy again")


def sweeper(stack: Stack) -> Iterator[Finding]:
    """Check that the sweeper's schedule is enabled: it takes up what callbacks missed."""
    client = stack.client("scheduler")
    for one in stack.of_type("AWS::Scheduler::Schedule"):
        try:
            state = client.get_schedule(Name=one.id)["State"]
        except client.exceptions.ResourceNotFoundException:
            yield problem(f"the schedule {one.name} is gone: deploy again")
            continue
        if state == "ENABLED":
            yield ok("the sweeper runs every minute")
        else:
            yield problem(
                f"the sweeper's schedule {one.id} is {state}, so that missed callbacks are never "
                "noticed: enable it (an interrupted `make restore` leaves it so)"
            )


def state_machine(stack: Stack) -> Iterator[Finding]:
    """Check that the fallback calls its function by its ARN, and that there is this function."""
    found = stack.client("stepfunctions").describe_state_machine(
        stateMachineArn=stack.outputs["FallbackArn"]
    )
    states = json.loads(found["definition"])["States"]
    called = {one["Resource"] for one in states.values() if one["Type"] == "Task"}
    function = stack.client("lambda").get_function_configuration(
        FunctionName=stack.id_of("FallbackFunction")
    )
    if found["status"] != "ACTIVE":
        yield problem(f"the fallback's state machine is {found['status']}: deploy again")
    elif called != {function["FunctionArn"]}:
        yield problem(
            f"the fallback calls {', '.join(sorted(called))}, not FallbackFunction: deploy again"
        )
    else:
        yield ok("the fallback's state machine calls FallbackFunction by its ARN")


def dead_letters(stack: Stack) -> Iterator[Finding]:
    """Look for messages that were given up."""
    client = stack.client("sqs")
    left = {}
    for name in (
        *("MediaDeadLetterQueue", "IngestDeadLetterQueue", "WebhookDeadLetterQueue"),
        "UndeliveredQueue",
    ):
        attributes = client.get_queue_attributes(
            QueueUrl=stack.id_of(name), AttributeNames=["ApproximateNumberOfMessages"]
        )["Attributes"]
        if count := int(attributes["ApproximateNumberOfMessages"]):
            left[name] = count
    if left:
        counts = ", ".join(f"{count} in {name}" for name, count in left.items())
        yield warning(
            f"messages were given up: {counts}; docs/operations.md says what became of their tasks"
        )
    else:
        yield ok("no message was given up")


FREE: Final = (
    ("the stack's status", status),
    ("functions", functions),
    ("the API", api),
    ("secrets", signing_secrets),
    ("the provider key", provider_key),
    ("a dry run", dry_run),
    ("callbacks", callback),
    ("event sources", event_sources),
    ("rules", rules),
    ("the fallback", state_machine),
    ("the sweeper", sweeper),
    ("dead letters", dead_letters),
)
"""The checks that cost nothing, in order."""


# ── The paid transfer ─────────────────────────────────────────────────────────────────────────


def transfer(stack: Stack, asked: Namespace) -> Iterator[Finding]:
    """Run one transfer to its end, and compare the stored result with what the task says."""
    key = asked.key or attempt_key(stack)
    body = {"consent": "make smoke", "metadata": {"made_by": "make smoke"}, **_inputs(stack, asked)}
    headers = {"x-api-key": api_key(stack), "Idempotency-Key": key}
    url = f"{stack.outputs['ApiUrl']}/tasks"
    _show(f"{'':13}sending a transfer with the Idempotency-Key {key}")
    try:
        answer = request("POST", url, headers, json.dumps(body).encode())
    except CommandError as error:
        yield problem(
            f"{error} The task may exist and be paid for: the same command finds it, and never "
            "pays twice"
        )
        return
    task = _document(answer)
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
    upload = _document(answer)
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
            _show(f"{'':13}{time.monotonic() - began_at:.0f} s: {shown}")
        left = seconds - (time.monotonic() - began_at)
        if task["done"] or left <= 0:
            return task
        wait = max(1, min(WAIT_SECONDS, int(left)))
        with suppress(CommandError):  # a failed read is repeated: the task goes on meanwhile
            answer = request("GET", f"{url}/{task['id']}?wait={wait}", headers)
            if answer.status_code == HTTPStatus.OK:
                task = _document(answer)
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


# ── The command ───────────────────────────────────────────────────────────────────────────────


def confirmed(asked: Namespace, stack: Stack) -> bool:
    """Return whether the paid transfer was asked for; on a terminal, ask."""
    if asked.paid or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return bool(asked.paid)
    price = stack.parameters.get("PricePerTaskUsd", "?")
    drawn = asked.video == str(MEDIA / "performance.mp4")
    if drawn:
        print("The files in local/media show a drawn figure, which the provider may refuse.")
    return input(f"Run one transfer, for which the provider charges ${price}? [y/N] ") in ("y", "Y")


def _read(arguments: list[str]) -> Namespace:
    parser = CommandParser("ops.smoke", f"Name the stack: {USAGE}")
    parser.add_argument("stack")
    parser.add_argument("--paid", action="store_true")
    parser.add_argument("--video", default=str(MEDIA / "performance.mp4"))
    parser.add_argument("--image", default=str(MEDIA / "character.png"))
    parser.add_argument("--key", default="")
    parser.add_argument("--seconds", type=float, default=1_800.0)
    asked = parser.parse_args(arguments)
    asked.stack = asked.stack.strip()
    if not asked.stack:
        raise CommandError(f"Name the stack: {USAGE}")
    if is_url(asked.video) != is_url(asked.image):
        raise CommandError("Give VIDEO and IMAGE both as files, or both as URLs.")
    if not is_url(asked.video):
        _check_file(asked.video, "video/")
        _check_file(asked.image, "image/")
    return asked


def _check_file(name: str, kind: str) -> None:
    """Raise ``CommandError`` unless a file is there whose name ends as one of its kind."""
    endings = [ending for ending, media_type in _MEDIA_TYPES.items() if media_type.startswith(kind)]
    if Path(name).suffix.lower() not in endings:
        raise CommandError(f"{name!r} must end in one of {', '.join(endings)}.")
    if not Path(name).is_file():
        raise CommandError(f"There is no file {name!r}.")


def main(arguments: list[str]) -> int:
    """Check a stack; returns 0 if it works, 2 if a problem was found, 130 if interrupted."""
    result = NOT_DONE

    def command() -> str:
        nonlocal result
        asked = _read(arguments)
        stack = Stack.of(asked.stack, boto3.Session())
        found = examine([Check(what, partial(check, stack)) for what, check in FREE], _show)
        _, result = summary(found, "", "")
        if result == NOT_DONE:
            if asked.paid:
                print("No transfer is paid for while a problem stands.")
        elif confirmed(asked, stack):
            found += examine([Check("a transfer", partial(transfer, stack, asked))], _show)
        text, result = summary(found, f"{stack.name} works", f"{stack.name} doesn't work yet")
        return text

    try:
        return max(run(command), result)
    except KeyboardInterrupt:
        print(
            "\nInterrupted. A task that was created goes on: the same command waits for it, and "
            "pays nothing.",
            file=sys.stderr,
        )
        return 130


def _show(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
