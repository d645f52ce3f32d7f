"""The crash matrix as a document: the same points that the tests hold the system to.

python -m tools.crash_matrix   writes docs/crash-matrix.md
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final

from local.stack import ROOT
from tests.crashes.points import LIVES, POINTS, Point

DOCUMENT: Final = ROOT / "docs/crash-matrix.md"

_CARRIED_ON_BY: Final = {
    "nothing": "(no work was lost)",
    "request": "the request again",
    "callback": "the callback",
    "fallback": "the fallback",
    "stream": "the stream again",
}
_HEAD: Final = """\
# The crash matrix

A worker can die at any moment: a time-out, no memory left, a host that goes away. This table says
what becomes of a task whose worker is killed, by SIGKILL, at each call that it makes to AWS or to
the provider: *before* the call goes out, *midway* through its body, or *after* it took effect and
before its reply came back. To die between two calls is to die before the second; to die after the
last one is to die after it. Reading a key or a row takes no effect, so dying after that is dying
before the next call.

It is tested, not argued: `make crashes` runs every point on the local stack, `make test` those
with a dot (•). The real functions run unchanged; their settings lead their calls through a tap that
knows which process is calling and kills it at the right one. Then the system is left alone, only
swept more often than once a minute. Leases and waits of minutes are not waited for: the times in
the row of a task to which nothing happens any more are moved into the past until it is due (those
of an `unconfirmed` one that was looked at in vain, until its deadline); nothing else is touched. A
callback that gets no 2xx is tried again by the provider only where the callback is not what dies.
`tests/crashes/points.py` holds the table; `python -m tools.crash_matrix` writes this page from
it, and a test compares the two.

At every point it also holds that

- the provider was paid once at most, and nothing was paid by sending the same request again: with
  the same `Idempotency-Key` it gives the same task, right after the crash and after the end;
- a task that succeeded has its four objects, the media byte for byte the provider's; any other task
  has none;
- an open task always has a due time in the sweeper's index;
- every move was published on the bus, at least once, with its version;
- no queue of dead letters holds anything.

## How to read it

- *life*: what happens to the task apart from the crash, see below;
- *crash*: the call at which the worker died; *then* comes a second crash, later in the same life;
- *client*: what the client's own request got; 502 is API Gateway's status for a function that died;
- *end* and *billing*: the task's `stage` and `billing` in the end;
- *paid*: creates on the provider's bill; *objects*: what the task has in the bucket;
- *carried on by* what took it further: the client's same request again, the provider's callback,
  the fallback (which the sweeper starts for a task that is due), or the table's stream, which is
  read again from where the relay died.

Where the provider is well and the end is `expired` all the same, that is meant:

- *nothing paid*: the worker died between the row and the create's answer, or with the answer that
  nothing was billed. Nobody can know then that nothing was taken, so it is never sent again.
- *paid*: the create was taken, but its reply died with the worker and no callback ever brought the
  id. The provider lists no tasks, so this one is lost to us; if there was a reply, the log line of
  the create has the id.
- *refused and called*: a caller with the task's own callback URL says that the provider has it, so
  the refusal can't be trusted; never sent again, and the feed never knew the id that was named.

"""


def render(points: Sequence[Point]) -> str:
    """Write the document."""
    return "".join(f"{line}\n" for line in (*_HEAD.splitlines(), *_lives(points), *_tables(points)))


def _lives(points: Sequence[Point]) -> Iterator[str]:
    yield from ("| life | |", "|---|---|")
    used = {point.life for point in points}
    yield from (f"| {name} | {life.says} |" for name, life in LIVES.items() if name in used)


def _tables(points: Sequence[Point]) -> Iterator[str]:
    number = 0
    for function, group in groupby(points, attrgetter("function")):
        title = {"tasks": "tasks (cancel)"}.get(function, function)
        yield from ("", f"## {title}", "")
        yield "| | | life | crash | client | end | billing | paid | objects | carried on by |"
        yield "|--:|---|---|---|---|---|---|--:|--:|---|"
        for point in group:
            number += 1
            yield f"| {number} | {_row(point)} |"


def _row(point: Point) -> str:
    crashes = (*point.also, (point.function, point.call, point.when))
    crashes = [
        f"{when} `{call}`" if function == point.function else f"{function} {when} `{call}`"
        for function, call, when in crashes
    ]
    cells = (
        "•" if point.often else "",
        point.life,
        ", then ".join(crashes),
        str(point.answer),
        f"`{point.stage}`",
        f"`{point.billing}`",
        str(point.paid),
        "4" if point.stage == "succeeded" else "0",
        _CARRIED_ON_BY[point.rescue],
    )
    return " | ".join(cells)


if __name__ == "__main__":
    DOCUMENT.write_text(render(POINTS))
