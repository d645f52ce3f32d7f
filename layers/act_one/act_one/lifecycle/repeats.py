"""Repeats: a request whose idempotency key has a task already gets that task, or a refusal."""

from dataclasses import replace
from typing import Final

from act_one.inputs.bucket import UploadsBucket
from act_one.inputs.request import TransferRequest
from act_one.lifecycle.read import not_erased
from act_one.problems import KeyReusedError
from act_one.tasks.task import Task

COMPARED: Final = ("video", "image", "metadata", "consent", "webhook")
"""The fields that make two requests different."""


def replay(asked: TransferRequest, existing: Task | None, uploads: UploadsBucket) -> Task:
    """Return the task of the same request: the same URLs, or other uploads of the same bytes.

    Raises ``KeyReusedError`` for another request, which names the fields that differ, and
    ``TaskErasedError`` for any request of an erased task.
    """
    if existing is None:
        raise KeyReusedError
    not_erased(existing)
    if existing.request_hash == asked.fingerprint():
        return existing
    if existing.content_hash is not None and uploads.has(asked):
        asked = asked if asked.etags else uploads.pin_versions(asked)
        if existing.content_hash == asked.content_fingerprint():
            return existing
    raise KeyReusedError(differs=differing_fields(asked, existing))


def differing_fields(asked: TransferRequest, existing: Task) -> tuple[str, ...]:
    """Name the fields in which a request differs from the one that made a task.

    The row has the request itself, but its webhook may be the stack's default: the request's hash
    tells. Returns nothing if the hash is of no request that this code could have written.
    """
    stored = TransferRequest(
        video=existing.video,
        image=existing.image,
        metadata=existing.metadata,
        consent=existing.consent,
    )
    if stored.fingerprint() != existing.request_hash:
        stored = replace(stored, webhook=existing.webhook)
    if stored.fingerprint() != existing.request_hash:
        return ()
    return tuple(name for name in COMPARED if _differs(name, asked, stored, existing))


def _differs(name: str, asked: TransferRequest, stored: TransferRequest, existing: Task) -> bool:
    changed = replace(stored, **{name: getattr(asked, name)})
    if changed.fingerprint() == existing.request_hash:
        return False
    pinned = {"video": existing.video_file, "image": existing.image_file}.get(name)
    return pinned is None or pinned.etag is None or pinned.etag != asked.etags.get(name)
