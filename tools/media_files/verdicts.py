"""What the preflight says of the files in the table, asked for as a client would, over HTTP.

`tools/media_files/verdicts.json` keeps it, with the milliseconds that it took once; a test asks
again.
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

KEPT = Path(__file__).parent / "verdicts.json"
LIMITS = Limits(
    max_video_bytes=33_554_432,
    max_image_bytes=16_777_216,
    min_video_seconds=1.0,  # the files are of two seconds
    max_video_seconds=30.0,
)
HTTP = downloads.session(downloads.Policy(allow_http=True, allow_private=True))
_OF_IMAGES = frozenset(group for group in TABLE if group.endswith("images"))


def verdict(group, data, server):
    """What is said of a file as the image, in a group of images, or as the video otherwise."""
    files = {"video": small_mp4(), "image": small_png()}
    asked = "image" if group in _OF_IMAGES else "video"
    urls = {name: server.put(name, data if name == asked else files[name]) for name in files}
    try:
        warnings = check_inputs(TransferRequest(**urls), LIMITS, HTTP)
    except ProblemError as problem:
        return f"refused: `{problem.code}`"
    return ", ".join(f"warned: `{warning.code}`" for warning in warnings) or "passes"


def kept():
    """Read what was said and how long it took: group → name → (verdict, milliseconds)."""
    return json.loads(KEPT.read_text())


def ask(sources, server):
    """Ask about every file; the whole to be kept."""

    def asked(group, data):
        verdict(group, data, server)  # warms it
        began_at = perf_counter()
        said = verdict(group, data, server)
        return said, round((perf_counter() - began_at) * 1_000, 1)

    return {
        group: {case.name: asked(group, case.make(sources)) for case in cases}
        for group, cases in TABLE.items()
    }
