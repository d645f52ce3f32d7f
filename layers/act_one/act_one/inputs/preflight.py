"""Checks of the inputs before a task is billed: inputs that the provider would reject are refused.

Both files are read concurrently with a few ranged reads each, for five seconds in all. A file that
can't be read for now isn't refused: the task continues with a warning.
"""

import re
import shlex
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final, NoReturn
from urllib.parse import unquote, urlsplit

import requests

from act_one.inputs.request import InputsCheck, TransferRequest
from act_one.media.facts import MediaFacts, MediaFileError
from act_one.media.probe import probe
from act_one.net import downloads
from act_one.net.downloads import Download, PeerError, UnsafeAddressError
from act_one.problems import ProblemError
from act_one.settings import Settings
from act_one.tasks.task import Notice

if TYPE_CHECKING:
    from act_one.json_types import Json

SECONDS: Final = 5.0
"""Wall clock for both inputs together."""
ASPECT: Final = 16 / 9
ASPECT_TOLERANCE: Final = 0.01
DURATION_TOLERANCE_SECONDS: Final = 0.5
"""Encoders end a clip on a frame or a sample, not on the second."""
FIRST_BYTES: Final = 65_536
MAX_WHOLE_BYTES: Final = 33_554_432
"""How much of a file is read whole where the server sends no ranges, as memory allows."""
MAX_ANSWER_BYTES: Final = 1_099_511_627_776
"""A server that knows no ranges announces the whole file; no more of it is read than is needed."""

INPUT_VIDEO_TYPES: Final = frozenset({"video/mp4", "video/quicktime", "video/webm"})
INPUT_IMAGE_TYPES: Final = frozenset({"image/jpeg", "image/png", "image/webp"})

_CONTENT_RANGE: Final = re.compile(r"bytes \d{1,18}-\d{1,18}/(\d{1,18}|\*)")
_PASSING: Final = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the provider takes. Sizes in bytes, durations in seconds."""

    max_video_bytes: int
    max_image_bytes: int
    min_video_seconds: float
    max_video_seconds: float


def check_inputs(
    request: TransferRequest, limits: Limits, http: requests.Session
) -> tuple[Notice, ...]:
    """Check a request's video and image; return warnings for the task.

    Raises ``ProblemError`` 422 for an input on which the provider would fail and bill the task.
    """
    ends_at = monotonic() + SECONDS
    inputs = (
        _Input("video", request.video, http, ends_at, limits.max_video_bytes),
        _Input("image", request.image, http, ends_at, limits.max_image_bytes),
    )
    with ThreadPoolExecutor(2) as pool:
        video = pool.submit(_check_video, inputs[0], limits)
        image = pool.submit(_check_image, inputs[1])
        return video.result() + image.result()


def inputs_check(settings: Settings) -> InputsCheck:
    """Return the input check for a deployment's settings."""
    limits = Limits(
        max_video_bytes=settings.max_video_bytes,
        max_image_bytes=settings.max_image_bytes,
        min_video_seconds=settings.min_video_seconds,
        max_video_seconds=settings.max_video_seconds,
    )
    # Nothing is believed of what plain http says, and the provider fetches it all the same.
    policy = downloads.Policy(allow_http=True, allow_private=settings.unsafe_allow_private_media)
    return partial(check_inputs, limits=limits, http=downloads.session(policy))


class _UnseenError(Exception):
    """An input can't be read now; the message says why, without the URL's query."""


# ── The two inputs ────────────────────────────────────────────────────────────────────────────


def _check_video(file: "_Input", limits: Limits) -> tuple[Notice, ...]:
    facts = _facts_of(file, INPUT_VIDEO_TYPES)
    if facts is not None:
        _check_aspect(file, facts)
        _check_duration(file, facts, limits)
    return tuple(file.warnings)


def _check_image(file: "_Input") -> tuple[Notice, ...]:
    facts = _facts_of(file, INPUT_IMAGE_TYPES)
    if facts is not None and not _is_wide(facts):
        # The source says 16:9 of its inputs; whether that binds the image, nobody says.
        file.warn("aspect_ratio", f"it is {facts.width}x{facts.height}; 16:9 is known to work")
    return tuple(file.warnings)


def _facts_of(file: "_Input", types: frozenset[str]) -> MediaFacts | None:
    """Return the facts of an input, None if it can't be read; refuse it if it is invalid."""
    try:
        file.open()
        facts = probe(file.read, file.size)
        file.check_head()
    except UnsafeAddressError as error:
        file.refuse("unreachable", str(error), _READABLE)
    except MediaFileError as error:
        # The provider takes videos that aren't recognised here, such as Ogg, but no other images.
        if error.code in _PROBLEMS and (file.name, error.code) != ("video", "media_unknown_type"):
            fix = _AS[file.name] if (error.media_type or "").startswith(file.name) else None
            file.refuse(_PROBLEMS[error.code], str(error), _needed(types), fix)
        file.warn("not_checked", str(error))
        return None
    except (PeerError, _UnseenError) as error:
        if isinstance(error, PeerError) and error.certain:
            file.refuse("unreachable", str(error), _READABLE)
        file.warn("not_checked", f"it could not be looked at beforehand: {error}")
        return None
    if facts.media_type not in types:
        fix = _AS[file.name] if facts.media_type.startswith(file.name) else None
        file.refuse("wrong-type", f"it is {facts.media_type}", _needed(types), fix)
    return facts


def _check_aspect(file: "_Input", facts: MediaFacts) -> None:
    if _is_wide(facts):
        return
    turned = f" (turned by {facts.rotation}°)" if facts.rotation else ""
    file.refuse(
        "aspect-ratio",
        f"it is shown as {facts.width}x{facts.height}{turned}",
        "16:9, within 1 %",
        '-vf "scale=1280:720:force_original_aspect_ratio=increase,crop=1280:720,setsar=1"',
    )


def _is_wide(facts: MediaFacts) -> bool:
    """Whether it is 16:9, as far as it says."""
    if not facts.width or not facts.height:
        return True
    return abs(facts.width / facts.height / ASPECT - 1) <= ASPECT_TOLERANCE


def _check_duration(file: "_Input", facts: MediaFacts, limits: Limits) -> None:
    seconds = facts.duration_seconds
    if seconds is None:
        return
    found = f"it lasts {seconds:.1f} s"
    needed = f"{limits.min_video_seconds:g} to {limits.max_video_seconds:g} s"
    if seconds > limits.max_video_seconds + DURATION_TOLERANCE_SECONDS:
        file.refuse("too-long", found, needed, f"-t {limits.max_video_seconds:g} -c copy")
    if seconds < limits.min_video_seconds - DURATION_TOLERANCE_SECONDS:
        file.refuse("too-short", found, needed)


_PROBLEMS: Final = {
    "media_wrong_type": "wrong-type",
    "media_unknown_type": "wrong-type",
    "media_broken": "broken",
    "media_no_video": "no-video",
    "media_empty": "no-video",
    "media_cut_off": "cut-off",
}
_READABLE: Final = "a URL that anybody can GET"
_NAMES: Final = {
    "video/mp4": "MP4",
    "video/quicktime": "MOV",
    "video/webm": "WebM",
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/webp": "WebP",
}
_SMALLER: Final = {"video": "-c:v libx264 -b:v 6M -c:a aac", "image": '-vf "scale=1920:-2"'}
_AS: Final = {"video": "-c:v libx264 -pix_fmt yuv420p -c:a aac", "image": "-frames:v 1"}
_OUTPUTS: Final = {"video": "for-act-one.mp4", "image": "for-act-one.png"}


def _needed(types: frozenset[str]) -> str:
    return "a whole file of " + ", ".join(sorted(_NAMES[name] for name in types))


# ── One file, read in ranges ──────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Input:
    """One input at its URL, read as the provider reads it: anonymously."""

    name: str
    url: str
    http: requests.Session
    ends_at: float
    max_bytes: int
    size: int | None = None
    """Bytes in all, if its server says so."""
    warnings: list[Notice] = field(default_factory=list)
    _start: bytes = b""
    _has_ranges: bool = False

    def open(self) -> None:
        """Read the first bytes, and learn what its server can do."""
        with self._get(0, FIRST_BYTES, redirects=0) as download:
            if download.status not in range(300, 400):
                self._begin(download)
                return
        self.warn("redirected", "its URL redirects, which Runway doesn't follow")
        with self._get(0, FIRST_BYTES) as download:
            self._begin(download)

    def read(self, offset: int, length: int) -> bytes:
        """Read that many bytes at an offset, fewer only where the file ends."""
        if offset + length <= len(self._start) or self._is_all_of_it():
            return self._start[offset : offset + length]
        if not self._has_ranges:
            self._read_whole()
            return self._start[offset : offset + length]
        with self._get(offset, length) as download:
            if download.status != 206:
                raise _UnseenError(f"its server answered HTTP {download.status} to a later range")
            return download.read(length)

    def _read_whole(self) -> None:
        """Read a file of which its server sends no ranges."""
        if (self.size or 0) > MAX_WHOLE_BYTES:
            raise _UnseenError("its server sends no ranges of it, and its index is not in front")
        with self._ask("GET") as download:
            if download.status != 200:
                raise _UnseenError(f"its server answered HTTP {download.status} to a later GET")
            self._start = download.read(min(self.max_bytes, MAX_WHOLE_BYTES) + 1)
        self.size = max(self.size or 0, len(self._start))
        self._check_size()
        if self.size > MAX_WHOLE_BYTES:
            raise _UnseenError("its server sends no ranges of it, and it is large")

    def check_head(self) -> None:
        """Notice a server that refuses HEAD: Runway may ask by HEAD before it fetches."""
        try:
            with self._ask("HEAD") as download:
                if download.status >= 400:
                    self.warn("head_refused", f"HEAD is answered by HTTP {download.status}")
        except (PeerError, UnsafeAddressError):
            self.warn("head_refused", "HEAD is not answered")

    def warn(self, code: str, message: str) -> None:
        """Add a warning to the task."""
        self.warnings.append(Notice(code=f"input_{code}", message=f"{self.name}: {message}"))

    def refuse(self, code: str, found: str, needed: str, options: str | None = None) -> NoReturn:
        """Raise the problem: what was found, what is needed and, if known, a command to fix it."""
        extensions: dict[str, Json] = {"found": found, "needed": needed}
        detail = f"{self.name}: {found}; the provider needs {needed}"
        if options is not None:
            extensions["fix"] = f"ffmpeg -i {self._file_name()} {options} {_OUTPUTS[self.name]}"
            detail = f"{detail}; try: {extensions['fix']}"
        title = f"The provider would fail on this {self.name}"
        raise ProblemError(
            422, f"input-{code}", title, detail, field=self.name, extensions=extensions
        )

    def _begin(self, download: Download) -> None:
        status = download.status
        if status == 416:
            self.refuse("cut-off", "it is empty", "a whole file")
        if 400 <= status < 500 and status not in _PASSING:
            found = f"its server answers HTTP {status} to an anonymous GET"
            self.refuse("unreachable", found, _READABLE)
        if status not in {200, 206}:
            raise _UnseenError(f"its server answers HTTP {status}")
        self._has_ranges = status == 206
        self.size = _size_of(download)
        self._start = download.read(FIRST_BYTES)
        if self.size is None and len(self._start) < FIRST_BYTES:
            self.size = len(self._start)
        self._check_size()

    def _check_size(self) -> None:
        if self.size is not None and self.size > self.max_bytes:
            found, needed = f"it has {self.size:,} bytes", f"at most {self.max_bytes:,} bytes"
            self.refuse("too-large", found, needed, _SMALLER[self.name])

    def _is_all_of_it(self) -> bool:
        return self.size is not None and self.size <= len(self._start)

    def _get(self, offset: int, length: int, redirects: int = 3) -> Download:
        span = f"bytes={offset}-{offset + length - 1}"
        return self._ask("GET", {"Range": span}, redirects)

    def _ask(
        self, method: str, headers: Mapping[str, str] | None = None, redirects: int = 3
    ) -> Download:
        return downloads.request(
            method,
            self.url,
            self.http,
            seconds=self.ends_at - monotonic(),
            max_bytes=MAX_ANSWER_BYTES,
            headers=headers,
            redirects=redirects,
        )

    def _file_name(self) -> str:
        return shlex.quote(unquote(urlsplit(self.url).path).rpartition("/")[2] or self.name)


def _size_of(download: Download) -> int | None:
    if download.status == 200:
        return download.length
    told = _CONTENT_RANGE.fullmatch(download.headers.get("content-range", "").strip())
    return int(told[1]) if told and told[1] != "*" else None
