"""The caller's reference to the consent of the person whose face or performance is used."""

from typing import Final

from act_one.json_types import Json
from act_one.problems import ProblemError

MAX_CONSENT_CHARACTERS: Final = 256


class ConsentMissingError(ProblemError):
    """The stack or the client requires consent, and the request has none."""

    def __init__(self) -> None:
        super().__init__(
            400,
            "consent-missing",
            "consent is missing",
            "consent is required here; add it: your own reference to the consent of the people who "
            f"are shown, of at most {MAX_CONSENT_CHARACTERS} characters",
            field="consent",
        )


def read_consent(value: Json) -> str:
    """Return a request's ``consent`` as it is. Raises ``ProblemError`` 400."""
    match value:
        case str() if not value.strip():
            found, fix = "is empty", "give your own reference to a consent, or leave it out"
        case str() if len(value) > MAX_CONSENT_CHARACTERS:
            found = f"has {len(value):,} characters"
            fix = f"it may have {MAX_CONSENT_CHARACTERS}; send a reference, not the consent itself"
        case str() if not value.isprintable():
            found, fix = "has characters that can't be printed", "send one line of plain text"
        case str():
            return value
        case _:
            found, fix = "is not a string", "give your own reference to a consent as a string"
    raise ProblemError(
        400,
        "consent-invalid",
        "consent is invalid",
        f"consent {found}; {fix}",
        field="consent",
    )


def readable_consent(value: Json) -> str | None:
    """Return a request's consent if it is valid, else None."""
    try:
        return read_consent(value)
    except ProblemError:
        return None
