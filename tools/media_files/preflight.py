"""The preflight's result for each file in the table, which it reads over HTTP.

`tools/media_files/preflight.json` records the results, with the milliseconds that each took when it
was recorded; a test compares them with the current ones.
"""

import json
from pathlib import Path
from time import perf_counter

from act_one.inputs.preflight import Limits, check_inputs
from act_one.inputs.request import TransferRequest
from act_one.net import downloads
from act_one.problems import ProblemError
from tools.media_files.small import small_mp4, small_png
from tools.media_files.table import TABLE

RECORDED = Path(__file__).parent / "preflight.json"
LIMITS = Limits(
    max_video_bytes=33_554_432,
    max_image_bytes=16_777_216,
    min_video_seconds=1.0,  # the files last two seconds
    max_video_seconds=30.0,
)
HTTP = downloads.session(downloads.Policy(allow_http=True, allow_private=True))
_IMAGE_GROUPS = frozenset(group for group in TABLE if group.endswith("images"))


def preflight_result(group, data, server):
    """Run the preflight with a file as the image if its group is of images, else as the video."""
    files = {"video": small_mp4(), "image": small_png()}
    field = "image" if group in _IMAGE_GROUPS else "video"
    urls = {name: server.put(name, data if name == field else files[name]) for name in files}
    try:
        warnings = check_inputs(TransferRequest(**urls), LIMITS, HTTP)
    except ProblemError as problem:
        return f"refused: `{problem.code}`"
    return ", ".join(f"warned: `{warning.code}`" for warning in warnings) or "passes"


def recorded():
    """Read the recorded results: group → name → (result, milliseconds)."""
    return json.loads(RECORDED.read_text())


def measure(sources, server):
    """Return the results for every file, in the form that is recorded."""

    def timed(group, data):
        preflight_result(group, data, server)  # warm up
        began_at = perf_counter()
        result = preflight_result(group, data, server)
        return result, round((perf_counter() - began_at) * 1_000, 1)

    return {
        group: {case.name: timed(group, case.make(sources)) for case in cases}
        for group, cases in TABLE.items()
    }
