"""Check a deployed stack from outside and inside; with `--paid`, by one paid transfer too.

    python -m ops.smoke STACK [--paid] [--video FILE_OR_URL --image FILE_OR_URL]
                              [--key KEY] [--seconds 1800]

with the operator's own AWS credentials. Without `--paid` nothing is paid for, and on a terminal the
command asks first. It prints a line for each check; the exit status is 2 while a problem stands.

The transfer has an idempotency key of the latest deployment: until the next one, a repeat waits for
the same task and pays nothing. `--key` names another attempt.
"""

import json
import secrets
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
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
from ops.deployed import Stack, api_key, json_object, request
from ops.findings import Check, Finding, examine, ok, problem, show, summary, warning
from ops.resources import (
    dead_letters,
    event_sources,
    functions,
    rules,
    state_machine,
    status,
    sweeper,
)
from ops.stacks import NOT_DONE, CommandError, CommandParser, run
from ops.transfer import check_file, is_url, transfer

ROOT: Final = Path(__file__).resolve().parent.parent
USAGE: Final = "make smoke STACK=act-one"
MEDIA: Final = ROOT / "local/media"
FEED_SECONDS: Final = 20.0
PROBLEM_TYPE: Final = "application/problem+json"


# ── The API ───────────────────────────────────────────────────────────────────────────────────


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
    found = json_object(answer).get("code")
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
    found = json_object(answer)
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
        ours = json_object(answer).get("code") == "not-found"
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
        check_file(asked.video, "video/")
        check_file(asked.image, "image/")
    return asked


def main(arguments: list[str]) -> int:
    """Check a stack; returns 0 if it works, 2 if a problem was found, 130 if interrupted."""
    result = NOT_DONE

    def command() -> str:
        nonlocal result
        asked = _read(arguments)
        stack = Stack.of(asked.stack, boto3.Session())
        found = examine([Check(what, partial(check, stack)) for what, check in FREE], show)
        _, result = summary(found, "", "")
        if result == NOT_DONE:
            if asked.paid:
                print("No transfer is paid for while a problem stands.")
        elif confirmed(asked, stack):
            found += examine([Check("a transfer", partial(transfer, stack, asked))], show)
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
