"""Imports each built handler in a bare interpreter, as Lambda does."""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from local.emulator import ROOT
from local.expand import load

BUILD: Final = ROOT / ".aws-sam/build"
LAYERS: Final = {
    "DependenciesLayer": BUILD / "DependenciesLayer/python",
    "ActOneLayer": BUILD / "ActOneLayer/python",
    "DocsLayer": BUILD / "DocsLayer/python",
}
BARE_BOTO3: Final = "import boto3; boto3.client('dynamodb')"
"""What a function costs that does nothing: to be run over ``BARE_FOLDERS``."""
BARE_FOLDERS: Final = (LAYERS["DependenciesLayer"], Path(sysconfig.get_path("purelib")))
"""Our botocore, and the boto3 of the development environment, as the layer has none."""
PUBLISHED_FOLDERS: Final = BARE_FOLDERS[1:]
"""Both as they are published, with bytecode and all of AWS's descriptions."""

# These run with `python -I -S`: the standard library and the given folders are all they can import.
_TIMED: Final = """
import json, sys, time
sys.path[:0] = json.loads(sys.argv[1])
started = time.process_time()
exec(sys.argv[2])
print(time.process_time() - started)
"""
_COUNTED: Final = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
known, lines, read = {*sys.modules}, 0, 0

def count_line(code, line):
    global lines
    lines += 1

def count_bytecode(event, arguments):
    global read
    if event == "marshal.loads":
        read += len(arguments[0])

sys.addaudithook(count_bytecode)
sys.monitoring.use_tool_id(sys.monitoring.PROFILER_ID, "lines")
sys.monitoring.register_callback(
    sys.monitoring.PROFILER_ID, sys.monitoring.events.LINE, count_line
)
sys.monitoring.set_events(sys.monitoring.PROFILER_ID, sys.monitoring.events.LINE)
exec(sys.argv[2])
sys.monitoring.set_events(sys.monitoring.PROFILER_ID, 0)
print(json.dumps({"lines": lines, "bytecode": read, "modules": sorted({*sys.modules} - known)}))
"""
LAMBDA_ENVIRONMENT: Final = {
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    # A function has its role's keys here; without any, each client would look for a machine's.
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "example",
    "AWS_SESSION_TOKEN": "example",
}


class ImportFailedError(Exception):
    """A handler can't be imported from its package and layers, or not without a word to the log.

    The message is Python's.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """A built function: its import statement, search path and environment."""

    name: str
    path: str
    """The ``Handler`` property, such as ``callback.copy.handler``."""
    statements: str
    folders: tuple[Path, ...]
    environment: Mapping[str, str]


def handlers() -> dict[str, Handler]:
    """List the built template's functions by their logical ids."""
    template = load(BUILD / "template.yaml")
    shared = template.get("Globals", {}).get("Function", {})
    return {
        name: _handler(name, shared, resource["Properties"], template["Parameters"])
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


def _handler(
    name: str, shared: Mapping[str, Any], own: Mapping[str, Any], parameters: Mapping[str, Any]
) -> Handler:
    module, _, function = own["Handler"].rpartition(".")
    layers = [*shared.get("Layers", []), *own.get("Layers", [])]
    return Handler(
        name=name,
        path=own["Handler"],
        statements=f"import {module}; assert callable({module}.{function})",
        folders=(
            BUILD / {**shared, **own}["CodeUri"],
            *{LAYERS[layer["Ref"]]: None for layer in layers},
        ),
        environment={
            variable: _value(written, parameters)
            for source in (shared, own)
            for variable, written in source.get("Environment", {}).get("Variables", {}).items()
        },
    )


def _value(written: object, parameters: Mapping[str, Any]) -> str:
    """Return a value that a variable may have: its parameter's default, or any text."""
    if isinstance(written, dict) and "Fn::If" in written:
        return _value(written["Fn::If"][-1], parameters)
    if isinstance(written, dict):
        written = parameters.get(written.get("Ref", ""), {}).get("Default", "something")
    return str(written).lower() if isinstance(written, bool) else str(written)


@dataclass(frozen=True, slots=True)
class Work:
    """What statements make Python do: counts that don't depend on how busy the machine is.

    They leave out what is not Python, such as the parsing of certificates.
    """

    lines: int
    """Lines that were run."""
    bytecode: int
    """Bytes of bytecode that were read."""
    modules: frozenset[str]
    """The modules that were imported."""


def seconds_to_run(
    statements: str, folders: Sequence[Path], environment: Mapping[str, str]
) -> float:
    """Return the CPU time of statements in a new interpreter, without the interpreter's start.

    Raises ``ImportFailedError``.
    """
    return float(_run([*_python(_TIMED, folders), statements], environment))


def work_to_run(statements: str, folders: Sequence[Path], environment: Mapping[str, str]) -> Work:
    """Count the work of statements in a new interpreter. Raises ``ImportFailedError``."""
    counted = json.loads(_run([*_python(_COUNTED, folders), statements], environment))
    return Work(counted["lines"], counted["bytecode"], frozenset(counted["modules"]))


def instructions_to_run(
    statements: str, folders: Sequence[Path], environment: Mapping[str, str]
) -> int | None:
    """Count the processor's instructions for statements, with the interpreter's start.

    None without valgrind. Raises ``ImportFailedError``.
    """
    if shutil.which("valgrind") is None:
        return None
    counting = [
        "valgrind",
        "--tool=cachegrind",
        "--cache-sim=no",
        "--cachegrind-out-file=/dev/null",
    ]
    with tempfile.NamedTemporaryFile() as log:
        measured = [*counting, f"--log-file={log.name}", *_python(_TIMED, folders), statements]
        _run(measured, environment)
        counted = re.search(rb"I +refs: +([0-9,]+)", log.read())
    if counted is None:
        raise ImportFailedError("valgrind counted nothing")
    return int(counted[1].replace(b",", b""))


def _python(program: str, folders: Sequence[Path]) -> list[str]:
    return [sys.executable, "-I", "-S", "-B", "-c", program, json.dumps([*map(str, folders)])]


def _run(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Run a command as Lambda would; return the last line that it prints."""
    run = subprocess.run(
        command,
        env={**LAMBDA_ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode != 0 or run.stderr:
        raise ImportFailedError(run.stderr)
    return run.stdout.splitlines()[-1]
