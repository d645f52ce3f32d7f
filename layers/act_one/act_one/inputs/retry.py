"""The body of ``POST /v1/tasks/{task_id}/retry``: what the caller accepts."""

from dataclasses import dataclass
from typing import Final

from act_one.inputs.request import object_of, read_flag, read_preflight, refuse_unknown

_BILLED_TWICE: Final = "may_be_billed_twice"
_PREFLIGHT: Final = "preflight"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryOptions:
    """How to repeat a task."""

    may_be_billed_twice: bool = False
    """Whether the caller accepts to pay again for what may be, or was, paid for."""
    preflight: bool = True
    """Whether the inputs are checked first."""


def read_retry(body: bytes | None) -> RetryOptions:
    """Check the body, which may be empty. Raises ``ProblemError`` 400 and 413."""
    if body is None or not body.strip():
        return RetryOptions()
    fields = object_of(body)
    refuse_unknown(fields, {_BILLED_TWICE, _PREFLIGHT}, "a retry")
    return RetryOptions(
        may_be_billed_twice=read_flag(fields.get(_BILLED_TWICE, False), _BILLED_TWICE),
        preflight=read_preflight(fields.get(_PREFLIGHT, "on")),
    )
