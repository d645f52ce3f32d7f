"""Which stages a task may go to from which. Pure: no I/O, no clock."""

from collections.abc import Mapping
from typing import Final

from act_one.tasks.task import Stage

MOVES: Final[Mapping[Stage, frozenset[Stage]]] = {
    Stage.ACCEPTED: frozenset({Stage.SUBMITTING, Stage.FAILED, Stage.CANCELED, Stage.UNCONFIRMED}),
    Stage.SUBMITTING: frozenset(
        {
            Stage.ACCEPTED,
            Stage.SUBMITTED,
            Stage.RUNNING,
            Stage.STORING,
            Stage.FAILED,
            Stage.UNCONFIRMED,
        }
    ),
    Stage.UNCONFIRMED: frozenset(
        {Stage.SUBMITTED, Stage.RUNNING, Stage.STORING, Stage.FAILED, Stage.EXPIRED}
    ),
    Stage.SUBMITTED: frozenset({Stage.RUNNING, Stage.STORING, Stage.FAILED, Stage.EXPIRED}),
    Stage.RUNNING: frozenset({Stage.STORING, Stage.FAILED, Stage.EXPIRED}),
    Stage.STORING: frozenset({Stage.SUCCEEDED, Stage.FAILED, Stage.STORING}),
    Stage.SUCCEEDED: frozenset(),
    Stage.FAILED: frozenset({Stage.STORING}),
    Stage.CANCELED: frozenset(),
    Stage.EXPIRED: frozenset({Stage.STORING, Stage.FAILED}),
}
"""Every allowed move. ``storing`` to itself is a new attempt at the copy."""


def may_move(origin: Stage, target: Stage) -> bool:
    """Tell whether a task may go from one stage to another."""
    return target in MOVES[origin]
