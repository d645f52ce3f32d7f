"""Imports each built handler in a bare interpreter, as Lambda does."""

import json
import subprocess
import sys
import sysconfig
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

# Runs with `python -I -S`: the standard library and the given folders are all it can import.
_BARE: Final = """
import json, sys, time
sys.path[:0] = json.loads(sys.argv[1])
started = time.process_time()
exec(sys.argv[2])
print(time.process_time() - started)
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


def seconds_to_run(
    statements: str, folders: Sequence[Path], environment: Mapping[str, str]
) -> float:
    """Return the CPU time of statements in a new interpreter, without the interpreter's start.

    Raises ``ImportFailedError``.
    """
    arguments = [sys.executable, "-I", "-S", "-B", "-c", _BARE, json.dumps([*map(str, folders)])]
    run = subprocess.run(
        [*arguments, statements],
        env={**LAMBDA_ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode != 0 or run.stderr:
        raise ImportFailedError(run.stderr)
    return float(run.stdout.splitlines()[-1])
