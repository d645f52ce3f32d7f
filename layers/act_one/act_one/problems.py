"""Errors that become RFC 9457 problem documents: raised where found, answered in one place."""

from collections.abc import Mapping, Sequence
from typing import Final

from act_one.json_types import Json

TYPES: Final = "/v1/docs/problems#"
"""Where every code has its entry, as a reference relative to the URL of a request to the API."""


def type_of(code: str) -> str:
    """Return the ``type`` of a problem: the place that describes it."""
    return TYPES + code


class ProblemError(Exception):
    """A request that can't be served.

    ``code`` (``kebab-case``) identifies the kind of problem for programs, ``detail`` says what was
    found and how to fix it, ``field`` names the member of the request at fault, ``extensions`` are
    further members for programs. ``retryable``: the same request can succeed later.
    ``retry_after``: the seconds that the header of that name gives.
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str,
        *,
        field: str | None = None,
        extensions: Mapping[str, Json] | None = None,
        retryable: bool = False,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.field = field
        self.extensions = dict(extensions or {})
        self.retryable = retryable
        self.retry_after = retry_after

    def document(self) -> dict[str, Json]:
        """Return the RFC 9457 document, with ``code``, ``field`` and ``extensions``."""
        found: dict[str, Json] = {
            "type": type_of(self.code),
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if self.field is not None:
            found["field"] = self.field
        return found | self.extensions


class KeyReusedError(ProblemError):
    """The idempotency key belongs to a task with other inputs or options.

    ``name`` is that of the key's header or field, ``differs`` are the fields of the request that
    the task has otherwise, none if that is not known.
    """

    def __init__(self, name: str = "Idempotency-Key", differs: Sequence[str] = ()) -> None:
        what = f"another {' and another '.join(differs)}" if differs else "another body"
        super().__init__(
            409,
            "idempotency-key-reused",
            "The idempotency key belongs to another request",
            f"this {name} was used with {what}; use a new key for a new transfer",
            field=name,
            extensions={"differs": [*differs]},
        )
        self.differs = tuple(differs)


class TaskErasedError(ProblemError):
    """The task was erased, or is being erased: ``erased_at`` (RFC 3339) is None until that ends."""

    def __init__(self, task_id: str, erased_at: str | None) -> None:
        super().__init__(
            410,
            "task-erased",
            "The task was erased",
            "the task and its files were erased; use a new Idempotency-Key for a new transfer"
            if erased_at
            else "the task's erasure has begun and is not finished; send DELETE to it again",
            field="task_id",
            extensions={"id": task_id, "erased_at": erased_at},
        )
