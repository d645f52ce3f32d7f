"""What the commands share: their arguments, a deployed stack, and a sentence for an error."""

import sys
from argparse import ArgumentParser
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NoReturn, override

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
)

from act_one.tasks.schema import NewerRowError

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudformation.type_defs import StackTypeDef

DONE = 0
NOT_DONE = 2
"""Exit status of a command that did nothing, or not all; standard error says why."""
_CREDENTIALS_REFUSED: Final = frozenset(
    {
        *("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId"),
        *("SignatureDoesNotMatch", "UnrecognizedClientException"),
    }
)


class CommandError(Exception):
    """The command can't do what was asked; the message is a sentence for the operator."""


class CommandParser(ArgumentParser):
    """Reads the arguments of a command, and answers wrong ones with how to call it."""

    def __init__(self, module: str, how_to_call: str) -> None:
        super().__init__(prog=f"python -m {module}", allow_abbrev=False)
        self.how_to_call = how_to_call

    @override
    def error(self, message: str) -> NoReturn:
        raise CommandError(f"{self.how_to_call} ({message})")


def run(command: Callable[[], str]) -> int:
    """Run a command, print the sentence it returns or why it can't, and return the exit status."""
    try:
        print(command())
    except (CommandError, NewerRowError, BotoCoreError, ClientError) as error:
        print(sentence(error), file=sys.stderr)
        return NOT_DONE
    return DONE


def stack_outputs(stack_name: str, session: "boto3.Session", *needed: str) -> dict[str, str]:
    """Return the outputs of a deployed stack by their keys.

    Raises ``CommandError`` if there is no such stack, or if it lacks one of the ``needed``.
    """
    outputs = outputs_of(existing_stack(stack_name, session))
    if not outputs.keys() >= {*needed}:
        raise CommandError(f"{stack_name!r} is not a stack of act-one, or is not deployed yet.")
    return outputs


def existing_stack(name: str, session: "boto3.Session") -> "StackTypeDef":
    """Return what CloudFormation says about a stack. Raises ``CommandError`` if there is none."""
    found = find_stack(name, session)
    if found is None:
        raise CommandError(
            f"There is no stack {name!r} in {session.region_name}; "
            "`aws cloudformation list-stacks` lists their names."
        )
    return found


def find_stack(name: str, session: "boto3.Session") -> "StackTypeDef | None":
    """Return what CloudFormation says about a stack by its name or id; None: there is none."""
    try:
        [found] = session.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if code_of(error) == "ValidationError":
            return None
        raise
    return found


def outputs_of(stack: "StackTypeDef") -> dict[str, str]:
    """Return the outputs of a stack by their keys."""
    return {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", ())}


def code_of(error: ClientError) -> str:
    """Return the code of an error of AWS, such as ``AccessDenied``."""
    return str(error.response.get("Error", {}).get("Code", ""))


def sentence(error: Exception) -> str:
    """Say to the operator what went wrong, and what to do about it."""
    match error:
        case CommandError():
            return str(error)
        case NewerRowError():
            return (
                "A newer release wrote what is in the stack's tables: "
                "run this command from the folder of that release."
            )
        case NoCredentialsError():
            return "There are no AWS credentials: set AWS_PROFILE, or log in with the AWS CLI."
        case NoRegionError():
            return "There is no AWS region: set AWS_DEFAULT_REGION, or one in your AWS profile."
        case ProfileNotFound():
            return f"{error}; `aws configure list-profiles` lists yours."
        case ClientError() if code_of(error) in _CREDENTIALS_REFUSED:
            return f"AWS refuses these credentials ({code_of(error)}): log in again."
        case _:
            return f"AWS can't do that: {error}"
