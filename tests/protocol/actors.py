"""Runs of functions that move only while the test lets them, and what may befall each I/O call."""

from collections.abc import Callable
from enum import StrEnum
from threading import Lock, Thread, local

_here = local()


class Crash(BaseException):
    """The process is gone."""


class Fault(StrEnum):
    """What becomes of one I/O call."""

    NONE = "none"
    DIES_BEFORE = "dies before it"
    DIES_AFTER = "dies after it"
    NOT_SENT = "not sent"  # an error, and nothing happened
    REFUSED = "refused"  # throttled, busy: likewise
    REPLY_LOST = "reply lost"  # it happened, but all that comes back is an error
    SENT_AGAIN = "sent again"  # it happened, its reply was lost, the SDK repeats it in a while
    LATE = "late"  # an error, and it happens seconds later


class Actor:
    """One run of one function, in a thread of its own of which every step is asked for.

    It stands still before each I/O call, named by ``waits_for``, until ``go_on`` says what is to
    become of that call. Only one thread runs at any moment, so a history can be repeated.
    """

    def __init__(self, name: str, work: Callable[["Actor"], object], **about) -> None:
        self.name = name
        self.kind: str = about.get("kind", name)
        self.skew: float = about.get("skew", 0.0)
        self.started_at: float = about["started_at"]
        self.seconds: float = about["seconds"]
        self.then: Callable[[Actor], None] = about.get("then", lambda _: None)
        self.waits_for = ""
        self.calls = 0
        self.faulted = False
        self.ended = False
        self.result: object = None
        self.failure: Exception | None = None
        self.crashed = False
        self.wrote_evidence = False
        self._fault = Fault.NONE
        self._killed = False
        self._turn, self._pause = Lock(), Lock()
        self._turn.acquire()
        self._pause.acquire()
        self._work = work
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self._pause.acquire()

    def __repr__(self) -> str:
        return self.name

    def go_on(self, fault: Fault = Fault.NONE) -> None:
        """Let it make the call that it waits for and come to the next one, or to its end."""
        assert not self.ended, f"{self} has ended"
        self._fault = fault
        self.faulted = self.faulted or fault is not Fault.NONE
        self._turn.release()
        self._pause.acquire()

    def kill(self) -> None:
        if not self.ended:
            self._killed = True
            self.go_on()

    def before(self, operation: str) -> Fault:
        """Stand still before a call (in the actor's own thread); answers what becomes of it."""
        self.waits_for = operation
        self.calls += 1
        self._pause.release()
        self._turn.acquire()
        self.waits_for = ""
        if self._killed:
            raise Crash
        return self._fault

    def _run(self) -> None:
        _here.actor = self
        try:
            self.result = self._work(self)
        except Crash:
            self.crashed = True
        except Exception as error:  # noqa: BLE001 - whatever it is, the test judges it
            self.failure = error
        self.ended = True
        self._pause.release()


def current() -> Actor | None:
    """Return the actor whose thread this is, None for the test's own."""
    return getattr(_here, "actor", None)
