"""Limits of inputs that several modules check."""

from typing import Final

MAX_INPUT_URL_CHARACTERS: Final = 2_048
"""Runway's limit; a task with a longer URL would be billed and fail."""
