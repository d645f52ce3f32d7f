"""What `sam deploy` is about to do, as `make doctor` reads it: arguments and configuration."""

import shlex
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ops.stacks import CommandError, CommandParser

ROOT: Final = Path(__file__).resolve().parent.parent
USAGE: Final = "make doctor, or make doctor STACK=act-one CallbackIngress=Api"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What `sam deploy` will do: into which stack, with which parameters."""

    stack: str
    given: Mapping[str, str] = field(default_factory=dict)
    """The parameters on the command line or in the configuration file."""
    region: str | None = None
    profile: str | None = None


def read_plan(arguments: Sequence[str]) -> Plan:
    """Read the command line and the configuration file. Raises ``CommandError``."""
    parser = CommandParser("ops.doctor", f"Usage: {USAGE}")
    parser.add_argument("--stack", default="")
    parser.add_argument("--config", default=str(ROOT / "samconfig.toml"))
    parser.add_argument("parameters", nargs="*", metavar="NAME=value")
    asked = parser.parse_args(arguments)
    configured = _configuration(Path(asked.config))
    stack = asked.stack.strip() or str(configured.get("stack_name", ""))
    if not stack:
        raise CommandError(f"Name the stack: {USAGE}")
    return Plan(
        stack=stack,
        given={
            **_pairs(_words(configured.get("parameter_overrides", ()))),
            **_pairs(asked.parameters),
        },
        region=configured.get("region"),
        profile=configured.get("profile"),
    )


def _configuration(file: Path) -> Mapping[str, Any]:
    """Return what `sam deploy` reads from its configuration file, in its default environment."""
    try:
        read = tomllib.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise CommandError(f"{file.name} can't be read: {error}") from error
    default = read.get("default", {})
    found: dict[str, Any] = {
        **default.get("global", {}).get("parameters", {}),
        **default.get("deploy", {}).get("parameters", {}),
    }
    return found


def _words(overrides: object) -> Iterable[str]:
    return shlex.split(overrides) if isinstance(overrides, str) else overrides  # type: ignore[return-value]


def _pairs(words: Iterable[str]) -> dict[str, str]:
    pairs = [word.partition("=") for word in words]
    if any(not name or not equals for name, equals, _ in pairs):
        raise CommandError(f"Give parameters as NAME=value: {USAGE}")
    return {name: value for name, _, value in pairs}
