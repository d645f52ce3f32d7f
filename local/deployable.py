"""Leaves out of the built template what the emulator can't make.

It knows no saved queries, and no alarms over expressions. Nothing refers to either of them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.expand import load


def deployable(template: Path) -> dict[str, Any]:
    """Return a built template for the emulator."""
    content = load(template)
    content["Resources"] = {
        name: resource
        for name, resource in content["Resources"].items()
        if not _unknown_to_emulator(resource)
    }
    return content


def _unknown_to_emulator(resource: Mapping[str, Any]) -> bool:
    kind = resource["Type"]
    over_expressions = kind == "AWS::CloudWatch::Alarm" and "Metrics" in resource["Properties"]
    return kind == "AWS::Logs::QueryDefinition" or over_expressions
