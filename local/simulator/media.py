"""Inputs and results: their content, signed URLs, and faulty downloads.

    /inputs/performance.mp4, /inputs/character.png        any query is accepted
    /media/{provider_task_id}/result.mp4?Expires=…&Sig=…   and poster.png, last_frame.png
    /media/{provider_task_id}/direct/result.mp4?…         the target of `media=redirect`

Samples are read from local/media; each task's results contain its id, so all files differ.
"""

import hashlib
import hmac
import re
import struct
import zlib
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from local.simulator.behaviour import Behaviour, MediaMode
from local.simulator.clock import now
from local.simulator.content import PIECE, Content, length, sha256
from local.simulator.messages import Headers, Reply, Request, body_stop, html_reply
from local.simulator.simulation import Simulation
from local.simulator.tasks import ProviderTask, state_at

SAMPLES = Path(__file__).parent.parent / "media"
CONTENT_TYPES = {"mp4": "video/mp4", "png": "image/png"}
INPUTS = ("performance.mp4", "character.png")
VIDEO = "result.mp4"
IMAGES = ("poster.png", "last_frame.png")
RESULTS = (VIDEO, *IMAGES)

URL_LIFETIME = 24 * 3600  # s
OVERSIZED_BYTES = 600_000_000
# A server on EC2 that followed this URL would send its own credentials.
PRIVATE_URL = "http://169.254.169.254/latest/meta-data/iam/security-credentials/"
RANGE = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})")


@dataclass(frozen=True, slots=True)
class MediaUrls:
    """The URLs of a result; None if the provider gives none."""

    video: str | None
    poster: str | None
    last_frame: str | None


NO_URLS = MediaUrls(None, None, None)


@cache
def sample(name: str) -> bytes:
    """Return the content of a file in local/media."""
    return (SAMPLES / name).read_bytes()


def result_content(provider_task_id: str, behaviour: Behaviour, name: str) -> Content:
    """Return a result file. It contains the task's id in a part that players ignore."""
    mark = f"provider_task_id={provider_task_id}".encode()
    if name != VIDEO:
        return Content(png_with_text(sample(name), mark))
    wanted = behaviour.media_bytes
    if wanted is None and behaviour.media.startswith("oversized"):
        wanted = OVERSIZED_BYTES
    natural = len(sample(name)) + 16 + len(mark)
    zeros = max(0, (wanted or 0) - natural)
    # Readers skip a `free` box. Its 64-bit size follows its name.
    box = struct.pack(">I4sQ", 1, b"free", 16 + len(mark) + zeros) + mark
    return Content(sample(name) + box, zeros)


def png_with_text(png: bytes, text: bytes) -> bytes:
    """Return a PNG with a comment before its last chunk."""
    chunk = b"tEXt" + b"Comment\0" + text
    end = len(png) - 12  # IEND: length, name, checksum
    checksum = struct.pack(">I", zlib.crc32(chunk))
    return png[:end] + struct.pack(">I", len(chunk) - 4) + chunk + checksum + png[end:]


def content_type(name: str) -> str:
    """By the name's ending."""
    return CONTENT_TYPES[name.rpartition(".")[2]]


def media_urls(simulation: Simulation, task: ProviderTask, moment: datetime) -> MediaUrls:
    """Return newly signed URLs of a task's result, for a feed or callback at that moment."""
    behaviour = task.behaviour
    expires = int(moment.timestamp()) + URL_LIFETIME
    if behaviour.media == "expired" and task.refused_downloads < (behaviour.media_times or 1):
        expires -= 2 * URL_LIFETIME

    def url(name: str) -> str:
        path = f"/media/{task.provider_task_id}/{name}"
        return simulation.url + signed(simulation, path, expires)

    has_images = behaviour.media != "no_poster"
    return MediaUrls(
        video=PRIVATE_URL if behaviour.media == "private" else url(VIDEO),
        poster=url(IMAGES[0]) if has_images else None,
        last_frame=url(IMAGES[1]) if has_images else None,
    )


def signed(simulation: Simulation, path: str, expires: int) -> str:
    """Return the path with a signature that is valid until `expires` (Unix seconds)."""
    return f"{path}?Expires={expires}&Sig={signature(simulation, path, expires)}"


def signature(simulation: Simulation, path: str, expires: int) -> str:
    """Return the HMAC-SHA256 of path and expiry in hex."""
    return hmac.new(
        simulation.signing_key, f"{path}?{expires}".encode(), hashlib.sha256
    ).hexdigest()


def media_document(task: ProviderTask) -> dict[str, Any]:
    """Return size and hash of the correct files, which a faulty download may not return."""
    return {
        name: dict(file_document(task.provider_task_id, task.behaviour, name)) for name in RESULTS
    }


@lru_cache(maxsize=4096)
def file_document(provider_task_id: str, behaviour: Behaviour, name: str) -> dict[str, Any]:
    """Return size in bytes, hash and type of one file."""
    content = result_content(provider_task_id, behaviour, name)
    # An oversized file must never be stored, and hashing 600 MB takes a second.
    digest = None if behaviour.media.startswith("oversized") else sha256(content)
    return {"bytes": length(content), "sha256": digest, "content_type": content_type(name)}


def input_reply(name: str, request: Request) -> Reply:
    """Answer with an input, or with a range of it."""
    return file_reply(Content(sample(name)), name, request, "sent")


def media_reply(simulation: Simulation, request: Request) -> Reply:
    """Answer with a result file, or with a fault."""
    _, _, provider_task_id, *folders, name = request.path.split("/")
    task = simulation.ledger.find_task(provider_task_id)
    moment = now()
    if task is None or name not in RESULTS or folders not in ([], ["direct"]):
        return xml_error(404, "NoSuchKey", "not_found", provider_task_id=None)
    expires = expiry_of(simulation, request)
    if expires is None:
        return xml_error(403, "AccessDenied", "bad_signature", provider_task_id)
    if expires <= moment.timestamp():
        if name == VIDEO:
            simulation.ledger.count_refused_download(task)
        return xml_error(403, "AccessDenied", "url_expired", provider_task_id)
    if state_at(task, moment) != "succeeded":
        return xml_error(404, "NoSuchKey", "no_result", provider_task_id)
    mode = task.behaviour.media if name == VIDEO else image_mode(task.behaviour.media)
    if name == VIDEO and not folders and request.method == "GET":
        before = simulation.ledger.count_download(task)
    else:
        before = task.downloads
    if folders or (task.behaviour.media_times and before >= task.behaviour.media_times):
        mode = "whole"
    reply = download(simulation, task, name, mode, request)
    return replace(reply, provider_task_id=provider_task_id)


def image_mode(mode: MediaMode) -> MediaMode:
    """Return the mode for an image: only two modes apply to images."""
    return "missing" if mode in ("no_poster", "poster_missing") else "whole"


def expiry_of(simulation: Simulation, request: Request) -> int | None:
    """Return a media URL's expiry in Unix seconds; None if its signature is invalid."""
    query = parse_qs(request.query)
    expires, given = query.get("Expires", [""])[0], query.get("Sig", [""])[0]
    if not (expires.isascii() and expires.isdigit() and len(expires) < 15):
        return None
    expected = signature(simulation, request.path, int(expires))
    return int(expires) if hmac.compare_digest(given.encode(), expected.encode()) else None


def download(
    simulation: Simulation, task: ProviderTask, name: str, mode: MediaMode, request: Request
) -> Reply:
    """Return the reply to a download in a mode."""
    replacement = replacement_reply(simulation, task, name, mode)
    if replacement is not None:
        return replacement
    content = result_content(task.provider_task_id, task.behaviour, name)
    reply = file_reply(content, name, request, mode)
    return (
        reply if reply.status == 416 else faulty_transfer(reply, mode, task.behaviour.media_seconds)
    )


def replacement_reply(
    simulation: Simulation, task: ProviderTask, name: str, mode: MediaMode
) -> Reply | None:
    """Return the reply that replaces the file in some modes, None in the others."""
    match mode:
        case "missing":
            return xml_error(404, "NoSuchKey", mode, task.provider_task_id)
        case "html":
            return html_reply(200, "Please wait while we check your browser", mode)
        case "redirect":
            path = f"/media/{task.provider_task_id}/direct/{name}"
            expires = int(now().timestamp()) + URL_LIFETIME
            return moved(signed(simulation, path, expires), mode)
        case "redirect_private":
            return moved(PRIVATE_URL, mode)
        case "empty":
            return Reply(200, mode, content_type=content_type(name))
        case _:
            return None


def faulty_transfer(reply: Reply, mode: MediaMode, seconds: float) -> Reply:
    """Return the reply, sent as the mode asks for; a slow one takes `seconds`."""
    # At most one piece: sending half of an oversized file would take long.
    half = min((body_stop(reply) - reply.start) // 2, PIECE)
    match mode:
        case "truncated":
            return replace(reply, cut_after=half, ending="hang_up")
        case "truncated_without_length":
            return replace(reply, cut_after=half, framing="close")
        case "truncated_chunked":
            return replace(reply, cut_after=half, framing="chunked", ending="hang_up")
        case "without_length" | "oversized_without_length":
            return replace(reply, framing="close")
        case "chunked":
            return replace(reply, framing="chunked")
        case "slow":
            return replace(reply, spread_seconds=seconds)
        case "stalled":
            return replace(reply, cut_after=half, ending="stall")
        case _:
            return reply


def file_reply(content: Content, name: str, request: Request, outcome: str) -> Reply:
    """Return a reply with a file, or with the requested range of it."""
    total = length(content)
    headers: Headers = (
        ("Accept-Ranges", "bytes"),
        ("ETag", f'"{zlib.crc32(content.data):08x}-{total:x}"'),
    )
    reply = Reply(200, outcome, content, content_type(name), headers)
    requested = RANGE.fullmatch(request.headers.get("range", ""))
    if requested is None or not any(requested.groups()):
        return reply
    first, last = requested.groups()
    if first:
        start, stop = int(first), min(int(last or total) + 1, total)
    else:
        start, stop = max(0, total - int(last)), total
    if start >= stop:
        nothing = (("Content-Range", f"bytes */{total}"),)
        return Reply(416, "no_such_range", content_type=content_type(name), headers=nothing)
    part = (("Content-Range", f"bytes {start}-{stop - 1}/{total}"),)
    return replace(reply, status=206, headers=headers + part, start=start, stop=stop)


def moved(location: str, outcome: str) -> Reply:
    """Return a temporary redirect."""
    return html_reply(302, "302 Found", outcome, headers=(("Location", location),))


def xml_error(status: int, code: str, outcome: str, provider_task_id: str | None) -> Reply:
    """Return an error as an object store behind a CDN sends it."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code></Error>'
    return Reply(
        status,
        outcome,
        Content(body.encode()),
        "application/xml",
        provider_task_id=provider_task_id,
    )
