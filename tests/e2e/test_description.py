"""The API behaves as its description says, and a client generated from it does the whole job."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from local.stack import ROOT
from tests.sizes import FULL, size

TOOLS = ROOT / ".tools/openapi/bin"
FUZZING = Path(__file__).parent / "fuzzing"
CASES = size(4, 20)
PHASES = "examples,coverage,fuzzing,stateful" if FULL else "examples,fuzzing"
SECONDS = 600

if not (TOOLS / "schemathesis").exists():
    pytest.fail("schemathesis is missing: run `make tools`", pytrace=False)


@pytest.fixture(scope="module")
def document(stack, tmp_path_factory):
    """The document as it is served, in a file."""
    answer = requests.get(f"{stack.api_url}/openapi.json", timeout=20)
    assert answer.status_code == 200
    path = tmp_path_factory.mktemp("description") / "openapi.json"
    path.write_bytes(answer.content)
    return path


def run(command, folder, **environment):
    return subprocess.run(
        [*map(str, command)],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_the_served_document_is_the_one_that_is_checked_in(document):
    assert json.loads(document.read_text()) == json.loads((ROOT / "docs/openapi.json").read_text())


@pytest.fixture(scope="module")
def upload_id(stack, caller):
    """An upload with both files."""
    opened = requests.post(f"{stack.api_url}/uploads", headers=caller.headers, timeout=20).json()
    for name, url in caller.body().items():
        media_type = {"video": "video/mp4", "image": "image/png"}[name]
        file = requests.get(url, timeout=20).content
        fields = {**opened[name]["fields"], "Content-Type": media_type}
        sent = requests.post(opened[name]["url"], data=fields, files={"file": file}, timeout=20)
        assert sent.status_code in {200, 204}, sent.text
    return opened["upload_id"]


def test_every_answer_is_as_the_document_says(stack, document, caller, upload_id, tmp_path):
    examples = {
        "https://media.example.com/performance.mp4": caller.body()["video"],
        "https://media.example.com/character.png": caller.body()["image"],
        "5f2b8c0d9e4a7163": upload_id,
    }
    text = document.read_text()
    for shown, real in examples.items():
        assert shown in text
        text = text.replace(shown, real)
    with_real_examples = tmp_path / "openapi.json"
    with_real_examples.write_text(text)
    command = [TOOLS / "schemathesis", "--config-file", FUZZING / "schemathesis.toml", "run"]
    command += [
        with_real_examples,
        "--url",
        stack.api_url,
        "--header",
        f"x-api-key: {stack.api_key}",
    ]
    command += ["--phases", PHASES, "--max-examples", CASES]
    command += ["--seed", 1, "--continue-on-failure"]
    command += ["--request-timeout", 60, "--suppress-health-check", "all"]
    created = caller.rows()
    done = run(
        command,
        tmp_path,
        SCHEMATHESIS_HOOKS="hooks",
        PYTHONPATH=str(FUZZING),
        PROVIDER_URL=stack.provider_url,
        UPLOAD_ID=upload_id,
    )

    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    cases = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    created = caller.rows() - created
    print(f"schemathesis: {cases[0]}; {created} tasks created")
    assert int(cases[1]) > size(80, 800)
    assert created > size(5, 50)


def test_a_generated_client_submits_waits_and_downloads(stack, document, caller, tmp_path):
    path = f"{TOOLS}:{os.environ['PATH']}"
    command = [TOOLS / "openapi-python-client", "generate", "--path", document, "--meta", "none"]
    command += ["--output-path", tmp_path / "act_one_client", "--fail-on-warning"]
    made = run(command, tmp_path, PATH=path)
    assert made.returncode == 0, made.stdout + made.stderr
    inputs = caller.body("seconds=2")

    done = run(
        [
            TOOLS / "python",
            Path(__file__).with_name("generated_client.py"),
            stack.api_url,
            stack.api_key,
            inputs["video"],
            inputs["image"],
            tmp_path / "result.mp4",
        ],
        tmp_path,
        PYTHONPATH=str(tmp_path),
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "result.mp4").stat().st_size > 1_000


# ── The examples of docs/api.md ───────────────────────────────────────────────────────────────

PAGE = (ROOT / "docs/api.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path, caller):
    """A folder with the two files, and a curl that fails when it is refused."""
    inputs = caller.body()
    for name in ("video", "image"):
        file = tmp_path / Path(inputs[name]).name
        file.write_bytes(requests.get(inputs[name], timeout=20).content)
    curl = tmp_path / "bin/curl"
    curl.parent.mkdir()
    curl.write_text(f'#!/bin/sh\nexec {shutil.which("curl")} --fail-with-body "$@"\n')
    curl.chmod(0o755)
    return tmp_path


def example_environment(folder, stack, caller):
    given = caller.body("seconds=1")
    given |= {
        "url": stack.api_url,
        "key": stack.api_key,
        "PATH": f"{folder}/bin:{os.environ['PATH']}",
    }
    return {**os.environ, **given}


def test_the_curl_examples_of_the_page_run_as_they_stand(stack, caller, folder):
    examples = blocks("sh")
    assert len(examples) >= 5
    script = "\n".join(f"{example}\necho; echo '=== {n}'" for n, example in enumerate(examples))

    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=example_environment(folder, stack, caller),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    created = json.loads((folder / "task.json").read_text())
    assert f'"id":"{created["id"]}"' in done.stdout.replace(" ", "")
    assert (created["metadata"], created["error"]) == ({"order": "42"}, None)
    assert "upload_id" in json.loads((folder / "upload.json").read_text())
    described = json.loads((folder / "openapi.json").read_text())
    assert described["openapi"] == "3.1.0"
    uploaded = done.stdout.rpartition("=== ")[0]
    assert f"{caller.stack.uploads_bucket}/uploads/" in uploaded


def test_the_python_loop_of_the_page_runs_as_it_stands(stack, caller, folder):
    [loop] = blocks("python")
    assert len([line for line in loop.splitlines() if line]) <= 15

    done = subprocess.run(
        [sys.executable, "-c", loop],
        cwd=folder,
        env=example_environment(folder, stack, caller),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    status, link = done.stdout.split()
    assert status == "succeeded"
    assert requests.get(link, timeout=20).status_code == 200
