import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.simulator.caller import until

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "local.simulator", "--api-key", "key"]


def start(*arguments, **options):
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def ready(process):
    return json.loads(process.stdout.readline())["url"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_its_url_and_ends_cleanly_on_a_signal(number, tmp_path):
    log = tmp_path / "log.jsonl"
    with start("--log", str(log)) as process:
        url = ready(process)
        assert url.startswith("http://127.0.0.1:")
        assert requests.post(f"{url}/runway/feed", timeout=5).status_code == 401

        process.send_signal(number)
        rest, errors = process.communicate(timeout=5)

    assert (process.returncode, rest, errors) == (0, "", "")
    assert json.loads(log.read_text())["status"] == 401


def test_it_ends_while_a_reply_is_stalled_and_a_create_waits():
    with start("--behaviour", "not_exist_seconds=0&feed_fault=timeout&create=slow") as process:
        url = ready(process)
        document = dict.fromkeys(("video", "image", "callback_url"), "http://127.0.0.1:9/x")
        with pytest.raises(requests.Timeout):
            requests.post(
                f"{url}/runway/pro/act_one",
                json=document,
                headers={"Authorization": "Bearer key"},
                timeout=0.2,
            )

        process.terminate()
        _, errors = process.communicate(timeout=5)

    assert (process.returncode, errors) == (0, "")


def test_it_ends_with_its_parent():
    # A parent that starts the simulator, prints its process id and exits.
    parent = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen({COMMAND!r}, stdout=-1, stderr=-3)  # PIPE, DEVNULL\n"
        "print(child.pid, child.stdout.readline().decode(), flush=True)\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", parent], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    process_id, _, line = output.partition(" ")

    try:
        assert json.loads(line)["url"]
        until(lambda: not alive(int(process_id)))
    finally:
        if alive(int(process_id)):
            os.kill(int(process_id), signal.SIGKILL)


def alive(process_id):
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    # Its new parent may take a moment to reap it.
    return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["--behaviour", "callbak=lost"], "callbak"), (["--deliver-to", "nowhere"], "nowhere")],
)
def test_it_prints_why_it_cannot_start(arguments, named):
    with start(*arguments) as process:
        output, errors = process.communicate(timeout=5)

    assert process.returncode == 1
    assert output == ""
    assert named in errors


def test_it_accepts_further_accounts():
    with start("--api-key", "second") as process:
        url = ready(process)
        replies = [
            requests.post(
                f"{url}/runway/feed",
                json={"task_id": "x"},
                headers={"Authorization": f"Bearer {key}"},
                timeout=5,
            ).status_code
            for key in ("key", "second", "third")
        ]
        process.terminate()

    assert replies == [400, 400, 401]
