"""The crash matrix: each point at which a worker is killed, and how its task must end.

A *life* is what happens to a task apart from the crash, so it says which calls there are. A point
is one call in a life and the moment of the crash: before the call goes out, midway through its
body, or after it took effect and before its reply came back. To die between two calls is to die
before the second; to die after the last one, before the function could answer, is to die after it.
Reading a key or a row takes no effect: to die after that is to die before the next call.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

type When = Literal["before", "midway", "after"]
type Rescue = Literal["nothing", "request", "callback", "fallback", "stream"]
"""What carries the task on after the crash; ``nothing`` was left to be done, or all of it goes on
as if there had been no crash."""

AROUND: Final[tuple[When, ...]] = ("before", "after")
THROUGH: Final[tuple[When, ...]] = ("before", "midway", "after")
BEFORE: Final[tuple[When, ...]] = ("before",)
AFTER: Final[tuple[When, ...]] = ("after",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What happens to a task that nothing kills."""

    says: str
    behaviour: str
    """For the provider simulator."""
    fallback: bool | None = False
    """Whether it takes part even so; None: that is a matter of moments."""
    then: Literal["cancel", "handle_callback"] | None = None
    """What is done once the task is `accepted`: its client cancels it; the provider calls back."""


_REFUSED: Final = "seconds=1&create=throttled&create_times=1&retry_after=600"

LIVES: Final = {
    "normal": Life(
        says="The provider takes the task and calls back at its end.", behaviour="seconds=1"
    ),
    "silent": Life(
        says="The callback never comes.", behaviour="seconds=1&callback=lost", fallback=True
    ),
    "silent and long": Life(
        says="The callback never comes, and the task takes its time.",
        behaviour="seconds=60&callback=lost",
        fallback=True,
    ),
    "silent and failed": Life(
        says="The callback never comes, and the task fails at the provider.",
        behaviour="seconds=1&result=failed&callback=lost",
        fallback=True,
    ),
    "failed": Life(says="The task fails at the provider.", behaviour="seconds=1&result=failed"),
    "rejected": Life(says="The provider rejects the request.", behaviour="create=rejected"),
    "unconfirmed": Life(
        says="The provider's reply to the create is lost; the callback comes.",
        behaviour="seconds=1&create=cut_after",
    ),
    "unconfirmed, called again": Life(
        says="The same, and a callback that gets no 2xx is tried again.",
        behaviour="seconds=1&create=cut_after&callback_retries=2&callback_retry_seconds=2",
        fallback=None,
    ),
    "early": Life(
        says="The callback comes before the create's reply; the feed knows the task later.",
        behaviour="callback=early&not_exist_seconds=8",
        fallback=None,
    ),
    "early and unconfirmed": Life(
        says="The same, and the provider's reply to the create is lost.",
        behaviour="callback=early&not_exist_seconds=8&create=cut_after",
        fallback=None,
    ),
    "refused": Life(
        says="The provider certainly refuses the first create (HTTP 429), not the second.",
        behaviour=_REFUSED,
        fallback=True,
    ),
    "refused and silent": Life(
        says="The same, and the callback never comes.",
        behaviour=f"{_REFUSED}&callback=lost",
        fallback=True,
    ),
    "refused and canceled": Life(
        says="The provider certainly refuses the create, and the client cancels the task.",
        behaviour=_REFUSED,
        then="cancel",
    ),
    "refused and called": Life(
        says="The provider refuses the create, and then calls back about it all the same.",
        behaviour=_REFUSED,
        then="handle_callback",
        fallback=True,
    ),
    "broken": Life(
        says="The first download of the video is a web page.",
        behaviour="seconds=1&media=html&media_times=1",
        fallback=True,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Where a worker is killed, and what must hold in the end."""

    life: str
    function: str
    call: str
    when: When
    also: tuple[tuple[str, str, When], ...] = ()
    """Crashes of the same task before this one: function, call, when."""
    answer: int = 202
    """The HTTP status that the client got; 502 is API Gateway's for a function that died."""
    stage: str = "succeeded"
    billing: str = "charged"
    paid: int = 1
    """Creates on the provider's bill."""
    rescue: Rescue = "fallback"
    often: bool = False
    """Whether `make test` tries it too."""

    @property
    def name(self) -> str:
        crashes = (*self.also, (self.function, self.call, self.when))
        return f"{self.life}: " + ", then ".join(
            f"{function} {when} “{call}”" for function, call, when in crashes
        )

    @property
    def names_a_task(self) -> bool:
        """Whether the call says which task it is for, so that others can run meanwhile."""
        return not self.call.endswith(
            (" key", " duration", " durations", " clients", "what is due")
        )


# ── How they end ──────────────────────────────────────────────────────────────────────────────

NOT_WRITTEN: Final = {"answer": 502, "rescue": "request"}
"""There is no row: nothing happened. The client's own repetition makes the task."""
GIVEN_UP: Final = {"stage": "expired", "billing": "unknown"}
"""For all that the row says it could have been sent: never sent again, given up in the end."""
NOT_SENT: Final = {**GIVEN_UP, "answer": 502, "paid": 0}
UNHEARD_OF: Final = {**GIVEN_UP, "answer": 502, "paid": 1}
"""Paid for, but neither the id nor a callback ever reached us: the one loss that remains."""
FAILED: Final = {"stage": "failed"}
CHARGED_NOTHING: Final = {"billing": "none", "paid": 0}


def _at(
    life: str,
    function: str,
    call: str,
    moments: tuple[When, ...] = AROUND,
    also: tuple[tuple[str, str, When], ...] = (),
    often: tuple[When, ...] = (),
    **expected: Any,
) -> Iterator[Point]:
    for when in moments:
        yield Point(
            life=life,
            function=function,
            call=call,
            when=when,
            also=also,
            often=when in often,
            **expected,
        )


def _submit() -> Iterator[Point]:
    answered = {"answer": 502, "rescue": "nothing"}
    for call in ("read the clients", "read the callback key", "read the provider key"):
        yield from _at("normal", "submit", call, BEFORE, **NOT_WRITTEN)
    yield from _at("normal", "submit", "read the row", **NOT_WRITTEN)
    yield from _at("normal", "submit", "write the row", BEFORE, **NOT_WRITTEN)
    yield from _at("normal", "submit", "write the row", AFTER, **NOT_SENT)
    yield from _at("normal", "submit", "create", BEFORE, often=BEFORE, **NOT_SENT)
    called = {"answer": 502, "rescue": "callback"}
    yield from _at("normal", "submit", "create", AFTER, often=AFTER, **called)
    yield from _at("normal", "submit", "move to submitted", BEFORE, **called)
    yield from _at("normal", "submit", "move to submitted", AFTER, **answered)
    yield from _at("normal", "submit", "read the durations", BEFORE, **answered)
    yield from _at("silent", "submit", "create", AFTER, **UNHEARD_OF)
    yield from _at("silent", "submit", "move to submitted", BEFORE, **UNHEARD_OF)
    yield from _at("silent", "submit", "move to submitted", AFTER, answer=502)
    yield from _at("rejected", "submit", "move to failed", BEFORE, **NOT_SENT)
    yield from _at(
        "rejected", "submit", "move to failed", AFTER, **answered, **FAILED, **CHARGED_NOTHING
    )
    yield from _at("unconfirmed", "submit", "move to unconfirmed", BEFORE, **called)
    yield from _at("unconfirmed", "submit", "move to unconfirmed", AFTER, **answered)
    yield from _at("early", "submit", "create", AFTER, answer=502)
    yield from _at("early", "submit", "move to submitted", answer=502)
    yield from _at("early", "submit", "note", answer=502)
    yield from _at("early and unconfirmed", "submit", "move to unconfirmed", BEFORE, answer=502)
    yield from _at("early and unconfirmed", "submit", "note", AFTER, answer=502)
    yield from _at("refused", "submit", "move to accepted", BEFORE, **NOT_SENT)
    yield from _at("refused", "submit", "move to accepted", AFTER, answer=502)


def _cancel() -> Iterator[Point]:
    canceled = {"stage": "canceled", "rescue": "nothing", **CHARGED_NOTHING}
    for call in ("read the clients", "read the row"):
        yield from _at("refused and canceled", "tasks", call, BEFORE, answer=502)
    yield from _at("refused and canceled", "tasks", "move to canceled", BEFORE, answer=502)
    yield from _at(
        "refused and canceled", "tasks", "move to canceled", AFTER, answer=502, **canceled
    )


def _callback() -> Iterator[Point]:
    noted = "note the callback"
    yield from _at("normal", "callback", "read the callback key", BEFORE)
    yield from _at("normal", "callback", noted, often=BEFORE)
    yield from _at("normal", "callback", "read the provider key", BEFORE)
    yield from _at("normal", "callback", "ask the feed")
    yield from _at("normal", "callback", "move to storing", BEFORE)
    yield from _at("normal", "callback", "move to storing", AFTER, rescue="nothing")
    yield from _at("failed", "callback", "move to failed", BEFORE, **FAILED)
    yield from _at("failed", "callback", "move to failed", AFTER, **FAILED, rescue="nothing")
    yield from _at("unconfirmed", "callback", noted, BEFORE, **GIVEN_UP)
    yield from _at("unconfirmed", "callback", noted, AFTER)
    yield from _at("unconfirmed", "callback", "ask the feed")
    yield from _at("unconfirmed", "callback", "ask who has the id", BEFORE)
    yield from _at("unconfirmed", "callback", "move to storing", BEFORE)
    yield from _at("unconfirmed", "callback", "move to storing", AFTER, rescue="nothing")
    yield from _at("unconfirmed, called again", "callback", noted, BEFORE, rescue="callback")
    yield from _at("unconfirmed, called again", "callback", noted, AFTER, rescue="callback")
    yield from _at("early", "callback", noted)
    yield from _at("early", "callback", "ask the feed")
    yield from _at("early", "callback", "note")
    yield from _at("early and unconfirmed", "callback", noted, BEFORE, **GIVEN_UP)
    yield from _at("early and unconfirmed", "callback", noted, AFTER)
    called = "refused and called"
    never_sent = {**GIVEN_UP, "paid": 0}
    yield from _at(called, "callback", noted, BEFORE)
    yield from _at(called, "callback", noted, AFTER, often=AFTER, **never_sent)
    yield from _at(called, "callback", "move to unconfirmed", **never_sent)


def _sweeper() -> Iterator[Point]:
    for call in ("read the clients", "list what is due"):
        yield from _at("silent", "sweeper", call, BEFORE)
    yield from _at("silent", "sweeper", "claim the look")
    yield from _at("silent", "sweeper", "start the fallback", often=BEFORE)


def _fallback() -> Iterator[Point]:
    for call in ("read the callback key", "read the row", "read the provider key"):
        yield from _at("silent", "fallback", call, BEFORE)
    yield from _at("silent", "fallback", "reserve the feed")
    yield from _at("silent", "fallback", "ask the feed")
    yield from _at("silent", "fallback", "move to storing", often=BEFORE)
    yield from _at("silent and long", "fallback", "move to running")
    yield from _at("silent and long", "fallback", "note")
    yield from _at("silent and failed", "fallback", "move to failed", **FAILED)
    yield from _at("refused", "fallback", "read the clients", BEFORE)
    not_sent = {**NOT_SENT, "answer": 202}
    called = {"rescue": "callback"}
    yield from _at("refused", "fallback", "move to submitting", BEFORE)
    yield from _at("refused", "fallback", "move to submitting", AFTER, **not_sent)
    yield from _at("refused", "fallback", "create", BEFORE, **not_sent)
    yield from _at("refused", "fallback", "create", AFTER, often=AFTER, **called)
    yield from _at("refused", "fallback", "move to submitted", BEFORE, **called)
    yield from _at("refused", "fallback", "move to submitted", AFTER, rescue="nothing")
    unheard_of = {**UNHEARD_OF, "answer": 202}
    yield from _at("refused and silent", "fallback", "create", AFTER, **unheard_of)
    yield from _at("refused and silent", "fallback", "move to submitted", AFTER)
    unsent = (("submit", "create", "before"),)
    yield from _at("normal", "fallback", "move to unconfirmed", AROUND, unsent, **NOT_SENT)
    yield from _at("normal", "fallback", "move to expired", AROUND, unsent, **NOT_SENT)
    before_feed = (("callback", "ask the feed", "before"),)
    yield from _at("unconfirmed", "fallback", "ask who has the id", BEFORE, before_feed)
    yield from _at("unconfirmed", "fallback", "move to storing", AROUND, before_feed)
    lost_copy = (("copy", "claim the copy", "after"),)
    yield from _at("normal", "fallback", "read the row", BEFORE, lost_copy)
    yield from _at("normal", "fallback", "ask the feed", AROUND, lost_copy)
    yield from _at("normal", "fallback", "move to storing", AROUND, lost_copy)


def _copy() -> Iterator[Point]:
    yield from _at("normal", "copy", "claim the copy")
    yield from _at("normal", "copy", "fetch result.mp4", THROUGH)
    yield from _at("normal", "copy", "store video.mp4", THROUGH, often=("midway", "after"))
    yield from _at("normal", "copy", "fetch poster.png", THROUGH)
    yield from _at("normal", "copy", "store poster.png", THROUGH)
    yield from _at("normal", "copy", "fetch last_frame.png")
    yield from _at("normal", "copy", "store last_frame.png")
    yield from _at("normal", "copy", "store task.json", THROUGH)
    yield from _at("normal", "copy", "move to succeeded", BEFORE)
    yield from _at("normal", "copy", "move to succeeded", AFTER, rescue="nothing")
    for call in ("read the row", "read the durations"):
        yield from _at("normal", "copy", call, BEFORE, rescue="nothing")
    yield from _at("normal", "copy", "keep the duration", rescue="nothing")
    stored = (("copy", "fetch poster.png", "before"),)
    yield from _at("normal", "copy", "read back video.mp4", ("before", "midway"), stored)
    yield from _at("broken", "copy", "release the copy")


def _relay() -> Iterator[Point]:
    by_stream = {"rescue": "stream"}
    yield from _at("normal", "relay", "publish Task Submitted", **by_stream)
    yield from _at("normal", "relay", "publish Task Storing", often=BEFORE, **by_stream)
    yield from _at("normal", "relay", "publish Task Succeeded", **by_stream)


POINTS: Final = (
    *_submit(),
    *_cancel(),
    *_callback(),
    *_sweeper(),
    *_fallback(),
    *_copy(),
    *_relay(),
)
