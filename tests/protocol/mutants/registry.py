"""What a mutant is, and the list of all. The modules beside this one fill it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[3]
HISTORIES: Final = "tests/protocol/test_histories.py"


@dataclass(frozen=True)
class Mutant:
    """What is broken, by replacing which attribute of what, and the test that must notice.

    The killer is a test of ``test_histories.py``, or ``folder/test_file.py::test`` in
    ``tests/unit`` or ``tests``, with the one case to try in brackets, if any.
    """

    name: str
    owner: Any
    attribute: str
    killer: str
    broken: Callable[[Any], Any]
    """Makes the replacement from the original."""

    @property
    def killer_file(self) -> str:
        """The file of the killer, from the root of the repository."""
        file = self.killer.rpartition("::")[0]
        if not file:
            return HISTORIES
        unit = f"tests/unit/{file}"
        return unit if (ROOT / unit).exists() else f"tests/{file}"

    @property
    def killer_test(self) -> str:
        """The killer without its file."""
        return self.killer.rpartition("::")[2]

    def apply(self) -> None:
        """Break the core in this process."""
        setattr(self.owner, self.attribute, self.broken(getattr(self.owner, self.attribute)))


MUTANTS: Final[list[Mutant]] = []


def mutant(name: str, owner: Any, attribute: str, *, killer: str):
    """Add a mutant that replaces a function or method.

    The replacement is called with the original first, then as the original is.
    """

    def add(replacement: Callable[..., Any]) -> Callable[..., Any]:
        def broken(original: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(original)
            def replaced(*arguments, **named):
                return replacement(original, *arguments, **named)

            return replaced

        MUTANTS.append(Mutant(name, owner, attribute, killer, broken))
        return replacement

    return add


def altered(name: str, owner: Any, attribute: str, value: Any, *, killer: str) -> None:
    """Add a mutant that replaces a constant."""
    MUTANTS.append(Mutant(name, owner, attribute, killer, lambda _original: value))
