"""Errors as RFC 9457 problem documents. Raised where they are found, answered in one place."""

from collections.abc import Mapping

from act_one.json_types import Json


class ProblemError(Exception):
    """A request that can't be served.

    ``code`` (``kebab-case``) names the kind of problem for programs, ``detail`` says what was
    found and what to do about it, ``field`` names the member of the request that is to blame,
    ``extensions`` are further members for programs.
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
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.field = field
        self.extensions = dict(extensions or {})

    def document(self) -> dict[str, Json]:
        """Write the problem as RFC 9457 defines it, with ``code``, ``field`` and ``extensions``."""
        found: dict[str, Json] = {
            "type": f"urn:act-one:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if self.field is not None:
            found["field"] = self.field
        return found | self.extensions
