"""What a release writes, kept for the tests of later ones: they must understand it."""

import json
import shutil
from pathlib import Path

from act_one.tasks.events import message_to_send

EVENTS = (
    *("callback", "fallback", "ingest-queue", "media-queue", "post-task", "table-stream"),
    *("task-requested", "task-succeeded", "webhook-queue"),
)
STATE_MACHINE = "functions/fallback/fallback.asl.json"
MESSAGE = "message-to-send.json"


def folder_of(version: str, root: Path) -> Path:
    """Return where the samples of a release are."""
    return root / "tests/releases" / version


def write_samples(version: str, root: Path) -> Path:
    """Write the samples of this tree as those of a release; returns their folder.

    Raises ``FileExistsError`` if it has some: they never change.
    """
    folder = folder_of(version, root)
    folder.mkdir(parents=True)
    for name in EVENTS:
        shutil.copyfile(root / f"events/{name}.json", folder / f"{name}.json")
    shutil.copyfile(root / STATE_MACHINE, folder / Path(STATE_MACHINE).name)
    task_id = json.loads((folder / "fallback.json").read_text())["task_id"]
    (folder / MESSAGE).write_text(f"{message_to_send(task_id)}\n")
    return folder
