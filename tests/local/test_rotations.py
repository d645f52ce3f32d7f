"""The documented rotations of secrets, run as they stand: no secret is an argument of a program."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from local.emulator import ROOT

PAGE = (ROOT / "docs/operations.md").read_text()
NEW, OLD = "new-secret-4711", "old-secret-0815"
ROTATIONS = [block for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) if "new=" in block]
AWS = f"""case "$*" in
  *get-random-password*) echo {NEW} ;;
  *get-secret-value*) echo '{{"current": "{OLD}", "previous": "older"}}' ;;
  *put-secret-value*) cat "$(printf '%s\\n' "$@" | sed -n 's|^file://||p')" > put ;;
esac"""
PROGRAMS = {
    "aws": AWS,
    "openssl": f"echo {NEW}",
    "python3": f'exec {sys.executable} "$@"',
}


@pytest.fixture
def folder(tmp_path):
    """A folder with programs that note their arguments."""
    for name, script in PROGRAMS.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/arguments\n{script}\n')
        program.chmod(0o755)
    return tmp_path


def test_two_secrets_are_rotated():
    assert ["act-one/callback" in block for block in ROTATIONS] == [True, False]
    assert "act-one/webhook" in ROTATIONS[1]


@pytest.mark.parametrize("rotation", ROTATIONS, ids=["callback", "webhook"])
def test_a_rotation_keeps_the_old_secret_and_shows_none(rotation, folder):
    subprocess.run(
        [shutil.which("bash"), "-e", "-c", rotation],
        cwd=folder,
        env={**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}"},
        check=True,
    )

    assert json.loads((folder / "put").read_text()) == {"current": NEW, "previous": OLD}
    arguments = (folder / "arguments").read_text()
    assert "put-secret-value" in arguments
    assert NEW not in arguments
    assert OLD not in arguments
    assert not [*folder.glob("*-secret.json")]
