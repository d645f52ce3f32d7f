"""JSON values, as requests, rows, replies and events hold them."""

type Json = bool | int | float | str | list[Json] | dict[str, Json] | None
"""Any JSON value."""
