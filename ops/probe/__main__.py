"""The command `make probe`."""

import os
import secrets
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final, cast, get_args

from ops import drift
from ops.probe.conclusions import NOT_SETTLED, Conclusion
from ops.probe.report import write_report
from ops.probe.state import State, alone, load, private_file, save
from ops.probe.steps import Probe, StepName, again, check_receiver, free, pay
from ops.stacks import CommandError, CommandParser, run

PROVIDER: Final = "https://api.cometapi.com"
KEY_VARIABLE: Final = "PROVIDER_API_KEY"
USAGE: Final = (
    "make probe [KEY_FILE=provider-key.txt] [RECEIVER=https://…] [PAID=yes] [STEPS=transfer] "
    "[REPORT=probe-report.json] [AGAIN=probe-report.json]"
)


def _parser() -> CommandParser:
    parser = CommandParser("ops.probe", f"Usage: {USAGE}")
    parser.add_argument("--key-file", type=Path)
    parser.add_argument("--receiver", default="")
    parser.add_argument("--paid", default="")
    parser.add_argument("--steps", default=",".join(get_args(StepName)))
    parser.add_argument("--report", type=Path, default=Path("probe-report.json"))
    parser.add_argument("--again", type=Path)
    parser.add_argument("--provider", default=PROVIDER)
    parser.add_argument("--runway-version", default="")
    parser.add_argument("--models", default=drift.MODELS_URL)
    parser.add_argument("--pages", default=drift.PAGES_URL)
    parser.add_argument("--poll-seconds", type=float, default=5)
    parser.add_argument("--task-seconds", type=float, default=2_400)
    parser.add_argument("--callback-seconds", type=float, default=900)
    return parser


def _key(file: Path | None) -> str:
    """Read the provider's key. It is never printed or written down."""
    try:
        key = file.read_text() if file is not None else os.environ.get(KEY_VARIABLE, "")
    except OSError as error:
        raise CommandError(f"{file} can't be read: {error.strerror}.") from error
    if not key.strip():
        raise CommandError(
            f"Name the file of the provider's key, KEY_FILE=…, or set {KEY_VARIABLE}."
        )
    return key.strip()


def _steps(text: str) -> list[StepName]:
    names = [one.strip() for one in text.split(",") if one.strip()]
    if not names or not {*names} <= {*get_args(StepName)}:
        raise CommandError(f"STEPS are {' and '.join(get_args(StepName))}, with a comma between.")
    return [cast("StepName", name) for name in names]


def main(
    arguments: list[str], say: Callable[[str], None] = lambda text: print(text, flush=True)
) -> int:
    """Probe the provider; returns the exit status."""
    return run(lambda: _command(arguments, say))


def _command(arguments: list[str], say: Callable[[str], None]) -> str:
    given = _parser().parse_args(arguments)
    if given.paid not in ("", "yes"):
        raise CommandError("PAID is yes, or is left out.")
    steps = _steps(given.steps)
    key = _key(given.key_file)
    report: Path = given.again or given.report
    with alone(report.parent):
        return _probe(given, steps, key, report, say)


def _probe(
    given: Namespace,
    steps: list[StepName],
    key: str,
    report: Path,
    say: Callable[[str], None],
) -> str:
    file = private_file(report)
    state = _state(file, given.provider, given.receiver.rstrip("/"), is_again=bool(given.again))
    probe = Probe(
        provider=state.provider,
        key=key,
        runway_version=given.runway_version,
        receiver=state.receiver,
        state=state,
        file=file,
        say=say,
        poll_seconds=given.poll_seconds,
        task_seconds=given.task_seconds,
        callback_seconds=given.callback_seconds,
    )
    price = drift.assumed_price()
    try:
        if given.again:
            again(probe)
        else:
            _free(probe, given.models, given.pages, price)
            if given.paid:
                _paid(probe, steps, price)
    except KeyboardInterrupt:
        say("Interrupted. The same command goes on where it was, and pays for nothing twice.")
    found = write_report(state, key, report)
    unpaid = [] if given.again else [name for name in steps if name not in state.steps]
    return "\n".join(_last_lines(found, unpaid, price, report, file))


def _last_lines(
    found: list[Conclusion], unpaid: list[StepName], price: Decimal, report: Path, file: Path
) -> Iterator[str]:
    yield from (f"{one.question} {one.answer}" for one in found)
    if unpaid:
        yield (
            f"Not paid for: {', '.join(unpaid)}, at about ${len(unpaid) * price:.2f} together. "
            "PAID=yes RECEIVER=… does it (docs/provider.md)."
        )
    settled = sum(not one.answer.startswith(NOT_SETTLED) for one in found)
    yield (
        f"{settled} of {len(found)} questions are settled. {report} and "
        f"{report.with_suffix('.md')} may be given away; {file} may not, and is needed for "
        f"AGAIN={report}."
    )


def _state(file: Path, provider: str, receiver: str, *, is_again: bool) -> State:
    """Go on with what an earlier run saw, or begin."""
    if not file.exists():
        if is_again:
            raise CommandError(f"There is no {file}: AGAIN= names the report of an earlier probe.")
        state = State(provider=provider, secret=secrets.token_urlsafe(32), receiver=receiver)
        save(state, file)
        return state
    state = load(file)
    if not is_again and state.provider != provider:
        raise CommandError(
            f"{file} is about {state.provider}; name another REPORT for {provider}, or remove it."
        )
    if receiver and state.receiver and receiver != state.receiver and state.steps:
        raise CommandError(f"{file} has another receiver, {state.receiver}; use that one.")
    state.receiver = receiver or state.receiver
    return state


def _free(probe: Probe, models: str, pages: str, price: Decimal) -> None:
    probe.say("Free: the offer, the key, the feed's reply for an unknown task.")
    try:
        probe.state.drift = drift.differences(models, pages, price)
    except CommandError as error:
        probe.state.drift = None
        probe.say(f"The offer isn't known: {error}")
    free(probe)


def _paid(probe: Probe, steps: list[StepName], price: Decimal) -> None:
    new = [name for name in steps if name not in probe.state.steps]
    if new:
        probe.say(
            f"Paid: {', '.join(new)}. The provider charges about ${price:.2f} for each, about "
            f"${len(new) * price:.2f} together. Ctrl-C ends the wait, not the transfers."
        )
    if not probe.receiver:
        raise CommandError("Name the receiver, which the provider calls back: RECEIVER=https://…")
    check_receiver(probe)
    for name in steps:
        pay(probe, name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
