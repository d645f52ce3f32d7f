"""Makes the template's resources by the services' own calls, one after the other.

moto's services check far more than its CloudFormation knows: this asks them.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from local.emulator import REGION
from tests.template.deployment import SOURCE, Template, expanded
from tools.aws_review.calls import MAKERS, Made
from tools.aws_review.deployment import Deployed, RefusedError, in_order
from tools.aws_review.emulators import Emulator
from tools.aws_review.names import LONGEST, generated

_REFERENCE: Final = re.compile(r"\$\{(\w+)(?:\.(\w+))?\}")


def resolved(parameters: Mapping[str, str], stack: str, account: str) -> Template:
    """Return the template as a stack's name, an account and parameters make it."""
    pseudo = {
        "AWS::AccountId": account,
        "AWS::Partition": "aws",
        "AWS::Region": REGION,
        "AWS::StackName": stack,
        "AWS::URLSuffix": "amazonaws.com",
    }
    return Template(expanded(), {**pseudo, **parameters}, SOURCE.read_text())


def make(template: Template, stack: str, emulator: Emulator) -> Deployed:
    """Make every resource; one that is refused is left out, with the reason."""
    made: dict[str, Made] = {}
    refused: dict[str, str] = {}
    for name in in_order(template.written["Resources"]):
        if name not in template.resources:
            continue
        kind = template.resources[name]["Type"].removeprefix("AWS::")
        given = spelled(template.resources[name].get("Properties", {}), made)
        own = given.get("LogGroupName") or (
            generated(kind, stack, name) if kind in LONGEST else f"{stack}-{name}"
        )
        try:
            made[name] = _made(kind, own, given, emulator)
        except RefusedError as error:
            refused[name] = str(error)
            if kind == "ApiGateway::RestApi":  # deployment, stage and plan are to be asked too
                with suppress(RefusedError):
                    made[name] = _made(kind, own, without_mocks(given), emulator)
    return Deployed(
        stack, {name: values[""] for name, values in made.items()}, refused, frozenset()
    )


def _made(kind: str, name: str, given: Mapping[str, Any], emulator: Emulator) -> Made:
    """Make one resource. Raises ``RefusedError``."""
    since = emulator.log_size()
    try:
        return MAKERS[kind](emulator.clients, name, given)
    except (ClientError, BotoCoreError, ResponseParserError, ValueError) as error:
        internal = "500" in str(error) or isinstance(error, ResponseParserError)
        raise RefusedError((internal and emulator.last_error(since)) or str(error)) from error


def without_mocks(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return an API without its preflights, which have a mock integration."""
    paths = {
        path: {verb: method for verb, method in methods.items() if verb != "options"}
        for path, methods in given["Body"]["paths"].items()
    }
    return {**given, "Body": {**given["Body"], "paths": paths}}


def spelled(value: Any, made: Mapping[str, Made]) -> Any:
    """Put what was made in the places of references to it."""
    if isinstance(value, dict):
        return {name: spelled(member, made) for name, member in value.items()}
    if isinstance(value, list):
        return [spelled(member, made) for member in value]
    if not isinstance(value, str):
        return value

    def found(reference: re.Match[str]) -> str:
        name, attribute = reference[1], reference[2] or ""
        return made.get(name, {}).get(attribute, reference[0])

    return _REFERENCE.sub(found, value)
