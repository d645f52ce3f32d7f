"""Draw the stack's dashboard, with the metrics that a run on the local stack wrote.

make dashboard   runs for two minutes and writes docs/dashboard.svg

The graphs, their lines and statistics are those of the dashboard's own definition. Its periods are
a sixtieth as long, because the run is: 5 s in place of 5 minutes.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Final

from local.stack import ROOT, repeated, running_stack, use_only_this_machine
from tests.e2e.drops import Dropper
from tests.watching import Point, Watch, Widget

PICTURE: Final = Path(__file__).parents[1] / "docs/dashboard.svg"
PARAMETERS: Final = {
    "AlarmEmail": "ops@example.com",
    "DailyBudgetUsd": "20",
    "CallbackGraceSeconds": "8",
    "MinPollSeconds": "1",
    "PollIntervalSeconds": "2",
    "PollMaxIntervalSeconds": "4",
    "RequestsPerSecond": "1000",
    "RequestBurst": "1000",
}
TASKS: Final = (
    *("seconds=2", "seconds=3", "seconds=6", "seconds=4", "seconds=2&callback=lost"),
    *("seconds=3", "seconds=2&media=missing&media_times=1", "seconds=5", "seconds=2&result=failed"),
    "seconds=2&create=cut_after",
)
"""What the tasks are like, one after the other."""
ROUNDS: Final = 4
PAUSE_SECONDS: Final = 2.0
SAMPLE_SECONDS: Final = 1.0
"""Between two measurements of the queues."""
SCALE: Final = 1 / 60

COLUMN, ROW, MARGIN, GAP = 50, 42, 14, 6
"""Pixels: a column and a row of the dashboard's grid, the border, between graphs."""
LEGEND_LINE: Final = 13
COLOURS: Final = (
    *("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b"),
    *("#e377c2", "#7f7f7f", "#bcbd22", "#17becf", "#393b79", "#637939"),
)
HEAD: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" \
role="img" aria-label="The stack's dashboard in CloudWatch">
<style>
text {{ font: 10px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: #444; }}
.title {{ font-size: 12px; font-weight: bold; fill: #16191f; }}
.none {{ fill: #999; }}
.card {{ fill: #fff; stroke: #d5dbdb; }}
.line {{ fill: none; stroke-width: 1.6; }}
</style>
<rect width="{width}" height="{height}" fill="#f2f3f3"/>
"""

type Line = list[tuple[float, float]]
"""Datapoints: when their period begins, in seconds since the run did, and their value."""


def picture(widgets: Sequence[Widget], points: Sequence[Point], begin: float, end: float) -> str:
    """Draw a dashboard over the time from ``begin`` to ``end``, in epoch seconds."""
    width = 24 * COLUMN + 2 * MARGIN
    rows = max(one.place[1] + one.place[3] for one in widgets)
    head = HEAD.format(width=width, height=rows * ROW + 2 * MARGIN)
    drawn = [_drawn(one, points, begin, end) for one in widgets]
    return f"{head}{''.join(drawn)}</svg>\n"


def lines_of(widget: Widget, points: Sequence[Point], begin: float, end: float) -> dict[str, Line]:
    """Compute a widget's lines by their labels."""
    queries = {query.id: query for query in widget.queries}
    period = min(widget.period * SCALE, end - begin)
    starts = [begin + n * period for n in range(int((end - begin) / period))]
    return {
        label: [
            (start - begin, value)
            for start in starts
            if (value := queries[name].value(points, start, start + period, queries)) is not None
        ]
        for name, label in widget.labels.items()
    }


def _drawn(widget: Widget, points: Sequence[Point], begin: float, end: float) -> str:
    column, row, across, down = widget.place
    left, top = MARGIN + column * COLUMN, MARGIN + row * ROW
    width, height = across * COLUMN - GAP, down * ROW - GAP
    lines = lines_of(widget, points, begin, end)
    legend = _legend(lines, width)
    bottom = top + height - 24 - LEGEND_LINE * (1 + legend[-1][1])
    plot = (left + 40, top + 30, width - 54, bottom - top - 30)
    parts = [
        f'<rect class="card" x="{left}" y="{top}" width="{width}" height="{height}" rx="3"/>',
        f'<text class="title" x="{left + 10}" y="{top + 18}">{escape(widget.title)}</text>',
    ]
    highest = max((value for line in lines.values() for _, value in line), default=None)
    if highest is None:
        middle = f'x="{left + width / 2:g}" y="{(top + bottom) / 2:g}" text-anchor="middle"'
        parts.append(f'<text class="none" {middle}>not measured by the emulator</text>')
    else:
        parts += _axes(plot, highest, end - begin)
        for number, line in enumerate(lines.values()):
            draw = _bars if widget.period * SCALE >= end - begin else _curve
            parts += draw(line, plot, highest or 1.0, end - begin, COLOURS[number])
    for label, (indent, line), colour in zip(lines, legend, COLOURS, strict=False):
        x, y = left + 10 + indent, bottom + 28 + line * LEGEND_LINE
        parts.append(f'<rect x="{x}" y="{y - 8}" width="8" height="8" fill="{colour}"/>')
        parts.append(f'<text x="{x + 12}" y="{y}">{escape(label)}</text>')
    return "".join(f"{part}\n" for part in parts)


def _legend(lines: Iterable[str], width: int) -> list[tuple[int, int]]:
    """Place the labels below the graph: the pixels from its left, and the line."""
    placed: list[tuple[int, int]] = []
    x = line = 0
    for label in lines:
        needs = 24 + round(5.6 * len(label))
        if x and x + needs > width - 20:
            x, line = 0, line + 1
        placed.append((x, line))
        x += needs
    return placed


def _axes(plot: tuple[int, int, int, int], highest: float, seconds: float) -> list[str]:
    left, top, width, height = plot
    base = top + height
    return [
        f'<path d="M{left} {top}V{base}H{left + width}" fill="none" stroke="#aab7b8"/>',
        f'<text x="{left - 4}" y="{top + 4}" text-anchor="end">{highest:.4g}</text>',
        f'<text x="{left - 4}" y="{base}" text-anchor="end">0</text>',
        f'<text x="{left + width}" y="{base + 12}" text-anchor="end">{seconds:.0f} s</text>',
    ]


def _curve(
    line: Line, plot: tuple[int, int, int, int], highest: float, seconds: float, colour: str
) -> Iterator[str]:
    left, top, width, height = plot
    places = [
        (left + at / seconds * width, top + height * (1 - value / highest)) for at, value in line
    ]
    if len(places) > 1:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        yield f'<polyline class="line" stroke="{colour}" points="{path}"/>'
    for x, y in places:
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.8" fill="{colour}"/>'


def _bars(
    line: Line, plot: tuple[int, int, int, int], highest: float, seconds: float, colour: str
) -> Iterator[str]:
    left, top, width, height = plot
    del seconds
    wide = min(80.0, width / max(1, len(line)) - 4)
    for number, (_, value) in enumerate(line):
        tall = height * value / highest
        x = left + 8 + number * (wide + 4)
        yield (
            f'<rect x="{x:.1f}" y="{top + height - tall:.1f}" width="{wide:.1f}" '
            f'height="{tall:.1f}" fill="{colour}"/>'
        )


def run(caller: Dropper) -> Mapping[str, int]:
    """Send tasks of all kinds, and wait for their ends; return how many ended how."""
    sent = []
    for _ in range(ROUNDS):
        for behaviour in TASKS:
            sent.append(caller.submit(behaviour))
            time.sleep(PAUSE_SECONDS)
    ends = [caller.wait(task_id, {"succeeded", "failed", "expired"}).stage for task_id in sent]
    return {str(stage): ends.count(stage) for stage in set(ends)}


def main() -> None:
    """Run a stack, and draw what it wrote."""
    use_only_this_machine()
    with running_stack(PARAMETERS, ROOT / ".local/dashboard") as stack:
        watch, caller = Watch(stack), Dropper(stack)
        begin = time.time()
        with repeated(watch.sample, SAMPLE_SECONDS):
            print(run(caller))
            time.sleep(6)
        points = watch.points()
        PICTURE.write_text(picture(watch.widgets(), points, begin, time.time()))
    print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main()
