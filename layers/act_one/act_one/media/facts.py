"""What a media file is, and the error for a file that is not a whole media file."""

from dataclasses import dataclass
from typing import Final

RESULT_VIDEO_TYPES: Final = {"video/mp4": "mp4", "video/quicktime": "mov", "video/webm": "webm"}
RESULT_IMAGE_TYPES: Final = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
}
"""The types that a result may have, and the endings of their files."""


class MediaFileError(Exception):
    """The file is not a complete media file of a supported format.

    ``code`` is one of:

    - ``media_cut_off``: its end is missing;
    - ``media_broken``: its structure is invalid;
    - ``media_wrong_type``: it is something else; ``media_type`` is set if that type has a name;
    - ``media_unknown_type``: its format is not recognised;
    - ``media_no_video``: it is a video container without a video track;
    - ``media_empty``: its video track has no samples or no duration;
    - ``media_unclear``: ``probe`` reached its read limits before it knew.

    The message says what was found and quotes nothing from the file.
    """

    def __init__(self, code: str, message: str, media_type: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.media_type = media_type


def broken(message: str) -> MediaFileError:
    """Return the error for a file whose structure is invalid."""
    return MediaFileError("media_broken", message)


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFacts:
    """What a file states about itself; None where it states nothing or its index is too large."""

    media_type: str
    """``video/mp4``, ``video/quicktime``, ``video/webm``, ``image/png``, ``image/jpeg``, …"""
    duration_seconds: float | None = None
    """Duration of the video track; None for images and for videos that were never finalised."""
    width: int | None = None
    height: int | None = None
    """Size in pixels as displayed: rotated, with square pixels."""
    rotation: int = 0
    """Degrees clockwise (0, 90, 180 or 270) by which a player rotates the stored picture."""
    pixel_aspect: float = 1.0
    """Width of a stored pixel divided by its height."""
    has_audio: bool | None = None
    c2pa: bool | None = None
    """Whether it carries a C2PA manifest; None if that wasn't or can't be found out."""


def display_size(
    width: int, height: int, *, rotation: int = 0, pixel_aspect: float = 1.0
) -> tuple[int, int]:
    """Return the width and height at which a stored picture is displayed, in square pixels."""
    wide = max(1, round(width * pixel_aspect))
    return (height, wide) if rotation % 180 else (wide, height)
