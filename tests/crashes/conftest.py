"""One stack for all crashes, tapped; the points that were chosen run once, side by side."""

import sys

import pytest

from local.stack import ROOT, running_stack
from tests.crashes.killing_proxy import tapped
from tests.crashes.points import Point
from tests.crashes.run import PARAMETERS, run
from tests.e2e.caller import Bus, Caller


@pytest.fixture(scope="session")
def stack():
    if sys.platform != "linux":
        pytest.skip("which process is behind a connection is asked of Linux's /proc")
    folder = ROOT / ".local/crashes"
    # The tests sweep by themselves, whenever they made something due.
    with running_stack(PARAMETERS, folder, sweeping=False) as running:
        yield running


@pytest.fixture(scope="session")
def watch(stack):
    with tapped(stack) as watching:
        yield watching


@pytest.fixture(scope="session")
def caller(stack):
    return Caller(stack)


@pytest.fixture(scope="session")
def outcomes(request, stack, watch):
    """Run every point that some chosen test asks for; point → what became of it."""
    given = (getattr(item, "callspec", None) for item in request.session.items)
    named = (spec.params.get("point") for spec in given if spec is not None)
    chosen = dict.fromkeys(point for point in named if isinstance(point, Point))
    with Bus(stack) as bus:
        return {outcome.point: outcome for outcome in run(list(chosen), stack, watch, bus)}
