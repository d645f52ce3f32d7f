"""The body of ``POST /v1/tasks``, and its validation."""

import json
import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Final, NoReturn

from act_one.inputs.consent import read_consent
from act_one.inputs.limits import MAX_INPUT_URL_CHARACTERS
from act_one.json_types import Json
from act_one.net.addresses import Policy
from act_one.net.urls import UnsafeAddressError, Url, parse_url
from act_one.problems import ProblemError
from act_one.tasks.events import DEFAULT_WEBHOOK_EVENTS, WEBHOOK_EVENTS
from act_one.tasks.identifiers import hash_request
from act_one.tasks.task import Notice, PinnedFile, Webhook, WebhookForm

MAX_REQUEST_BYTES: Final = 65_536
MAX_METADATA_BYTES: Final = 2_048
MAX_METADATA_DEPTH: Final = 32
"""EventBridge and other JSON parsers refuse deep nesting."""
MAX_INTEGER: Final = 2**53
"""Many JSON parsers read numbers as doubles, and EventBridge refuses integers beyond ±2⁶³."""
MAX_KEY_CHARACTERS: Final = 255
MAX_S3_KEY_BYTES: Final = 1_024

FIELDS: Final = frozenset(
    {
        *("video", "image", "upload_id", "metadata", "consent", "preflight"),
        *("webhook", "callback_url"),
    }
)
_DRY_RUN: Final = "dry_run"
"""A field of ``POST /v1/tasks`` only."""
_UPLOAD_ID: Final = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRequest:
    """A valid request: the performance ``video``, the character ``image``, and options."""

    video: str
    image: str
    metadata: Mapping[str, Json] = field(default_factory=dict)
    consent: str | None = None
    """The caller's reference to the consent of the people who are shown."""
    video_file: PinnedFile | None = None
    """Set for an input in the uploads bucket once it is pinned; likewise ``image_file``."""
    image_file: PinnedFile | None = None
    etags: Mapping[str, str] = field(default_factory=dict)
    """What the contents of the pinned inputs are compared by, by the names of their fields: S3's
    ETags, or the checksums of files under a KMS key."""
    origin: str | None = None
    """The folder of the uploads bucket that the request came from."""
    preflight: bool = True
    """Whether the inputs are checked before the task is sent."""
    webhook: Webhook | None = None
    """None: the stack's default webhook, if any."""
    idempotency_key: str | None = None
    retry_of: str | None = None
    """The id of the task that this one repeats; its id follows from that one, not from a key."""
    dry_run: bool = False
    """Whether the caller only asks what would happen."""

    def fingerprint(self) -> str:
        """Hash the fields that identify a request: not key, preflight or file versions."""
        return self._hash(self.video, self.image)

    def content_fingerprint(self) -> str | None:
        """Hash the same fields with pinned files by their content; None if nothing is pinned."""
        if not self.etags:
            return None
        return self._hash(self.etags.get("video", self.video), self.etags.get("image", self.image))

    def _hash(self, video: str, image: str) -> str:
        asked: dict[str, Json] = {"video": video, "image": image, "metadata": dict(self.metadata)}
        if self.consent is not None:
            asked["consent"] = self.consent
        if self.webhook is not None:
            hook: dict[str, Json] = {
                "url": self.webhook.url,
                "events": list(self.webhook.events),
            }
            if self.webhook.form is not WebhookForm.STANDARD:
                hook["form"] = str(self.webhook.form)
            asked["webhook"] = hook
        return hash_request(asked)


type InputsCheck = Callable[[TransferRequest], tuple[Notice, ...]]
"""Checks a request's inputs. Raises ``ProblemError`` or returns warnings."""


def read_request(
    body: bytes | None,
    idempotency_key: str | None,
    *,
    allow_addresses: bool,
    own_files: str = "",
    from_cometapi: bool = False,
) -> TransferRequest:
    """Check a request's body and ``Idempotency-Key`` header.

    ``allow_addresses`` lets URLs name an address or a bare host (``UnsafeAllowPrivateMedia``).
    ``own_files`` is the ``s3://…/`` prefix whose files this client may name; empty: none.
    ``from_cometapi``: the body is of a client of CometAPI. Other fields are ignored, as there, and
    ``callback_url`` is called in CometAPI's form.
    Raises ``ProblemError`` (400, 413) naming the field and what to do.
    """
    key = None if idempotency_key is None else checked_key(idempotency_key, "Idempotency-Key")
    fields = object_of(body)
    dry_run = False
    if not from_cometapi:
        refuse_unknown(fields, {*FIELDS, _DRY_RUN}, "a task")
        dry_run = read_flag(fields.pop(_DRY_RUN, False), _DRY_RUN)
    request = request_of(
        fields,
        key,
        allow_addresses=allow_addresses,
        own_files=own_files,
        from_cometapi=from_cometapi,
    )
    return replace(request, dry_run=dry_run)


def request_of(
    fields: dict[str, Json],
    key: str | None,
    *,
    allow_addresses: bool,
    own_files: str = "",
    from_cometapi: bool = False,
) -> TransferRequest:
    """Check the fields of a request, as ``read_request`` does; ``key`` was checked before."""
    if from_cometapi:
        fields = {name: value for name, value in fields.items() if name in FIELDS}
    refuse_unknown(fields, FIELDS, "a task")
    fields = _with_files_of_upload(fields, own_files)
    return TransferRequest(
        video=_url(fields, "video", own_files, allow_addresses=allow_addresses),
        image=_url(fields, "image", own_files, allow_addresses=allow_addresses),
        metadata=_metadata(fields.get("metadata", {})),
        consent=read_consent(fields["consent"]) if "consent" in fields else None,
        preflight=read_preflight(fields.get("preflight", "on")),
        webhook=_webhook(
            fields,
            WebhookForm.COMETAPI if from_cometapi else WebhookForm.STANDARD,
            allow_addresses=allow_addresses,
        ),
        idempotency_key=key,
    )


def checked_key(value: str, name: str) -> str:
    """Return an idempotency key. Raises ``ProblemError`` 400; ``name`` is that of its field."""
    if not value.strip():
        detail = f"{name} is empty; give each intended transfer a key of its own"
        _refuse("idempotency-key-empty", "The key is empty", detail, name)
    if len(value) > MAX_KEY_CHARACTERS:
        detail = f"{name} may have {MAX_KEY_CHARACTERS} characters; a UUID has 36"
        _refuse("idempotency-key-too-long", "The key is too long", detail, name)
    return value


def refuse_unknown(given: Collection[str], known: Collection[str], of: str, at: str = "") -> None:
    """Refuse the first name that isn't ``known``, and list those that are.

    ``of`` says whose fields they are, ``at`` is the path to them. Raises ``ProblemError`` 400.
    """
    for name in sorted({*given} - {*known}):
        shown = name[:64].encode("utf-8", "replace").decode()
        detail = f"{shown!r} is not a field of {of}; the fields are {', '.join(sorted(known))}"
        _refuse("unknown-field", "There is no such field", detail, f"{at}{shown}")


def _refuse(code: str, title: str, detail: str, name: str, *, status: int = 400) -> NoReturn:
    raise ProblemError(status, code, title, detail, field=name)


def read_flag(value: Json, name: str) -> bool:
    """Return a field that is true or false. Raises ``ProblemError`` 400."""
    if not isinstance(value, bool):
        detail = f"{name} must be true or false, without quotes"
        _refuse("field-not-boolean", f"{name} is neither true nor false", detail, name)
    return value


def object_of(body: bytes | None, max_bytes: int = MAX_REQUEST_BYTES) -> dict[str, Json]:
    """Read a body as a JSON object. Raises ``ProblemError`` 400 and 413."""
    if body is None or not body.strip():
        detail = 'send a JSON object such as {"video": "https://…", "image": "https://…"}'
        _refuse("body-missing", "The request has no body", detail, "body")
    if len(body) > max_bytes:
        detail = f"the body may have {max_bytes:,} bytes; send URLs, not files"
        _refuse("body-too-large", "The body is too large", detail, "body", status=413)
    try:
        found = json.loads(body.decode("utf-8-sig"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        detail = "the body can't be read as JSON in UTF-8; check quotes and commas"
        _refuse("body-not-json", "The body is not JSON", detail, "body")
    if not isinstance(found, dict):
        detail = "the body is JSON but not an object; send {…} with video and image"
        _refuse("body-not-object", "The body is not an object", detail, "body")
    return found


def _no_constant(constant: str) -> NoReturn:
    message = f"{constant} is not JSON"
    raise ValueError(message)


def _with_files_of_upload(fields: dict[str, Json], own_files: str) -> dict[str, Json]:
    """Replace an ``upload_id`` by its two files."""
    if "upload_id" not in fields:
        return fields
    upload_id = fields["upload_id"]
    if not isinstance(upload_id, str) or not _UPLOAD_ID.fullmatch(upload_id) or not own_files:
        detail = "upload_id must be what POST /v1/uploads answered: 16 letters and digits"
        _refuse("upload-id-invalid", "The upload_id is invalid", detail, "upload_id")
    for name in ("video", "image"):
        if name in fields:
            detail = f"upload_id stands for both files; leave out {name}, or upload_id"
            _refuse("upload-id-and-url", f"There are upload_id and {name}", detail, name)
    files = {name: f"{own_files}{upload_id}/{name}" for name in ("video", "image")}
    return {**fields, **files}


def _s3_uri(uri: str, name: str, own_files: str) -> str:
    if not own_files or not uri.startswith(own_files) or uri.endswith("/"):
        where = f"use a file under {own_files}" if own_files else "use an https URL"
        detail = f"{name} is not a file in S3 that this client may use; {where}"
        _refuse("input-not-yours", f"{name} is not yours", detail, name, status=403)
    key = uri.removeprefix("s3://").partition("/")[2]
    # Other characters that don't print, such as joiners in emoji, are common in file names.
    unusable = any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in uri)
    if unusable or len(key.encode()) > MAX_S3_KEY_BYTES:
        detail = (
            f"{name} is not an S3 URI: a key has at most {MAX_S3_KEY_BYTES:,} bytes "
            "and no control characters"
        )
        _refuse("url-invalid", f"{name} is not an S3 URI", detail, name)
    return uri


def _url(fields: Mapping[str, Json], name: str, own_files: str, *, allow_addresses: bool) -> str:
    if name not in fields:
        detail = f"add {name}: the https URL of the {_WHAT[name]}"
        _refuse("field-missing", f"{name} is missing", detail, name)
    value = fields[name]
    if not isinstance(value, str):
        detail = f"{name} must be a string: the https URL of the {_WHAT[name]}"
        _refuse("field-not-string", f"{name} is not a string", detail, name)
    if not value.strip():
        detail = f"{name} is empty; give the https URL of the {_WHAT[name]}"
        _refuse("field-empty", f"{name} is empty", detail, name)
    if value.startswith("s3://"):
        return _s3_uri(value, name, own_files)
    if len(value) > MAX_INPUT_URL_CHARACTERS:
        detail = (
            f"{name} has {len(value):,} characters and the provider takes "
            f"{MAX_INPUT_URL_CHARACTERS:,}; use a shorter URL"
        )
        _refuse("url-too-long", f"{name} is too long", detail, name)
    _check_url(value, name, allow_addresses=allow_addresses)
    return value


_WHAT: Final = {"video": "performance video", "image": "character image"}


def _check_url(
    text: str, name: str, *, allow_addresses: bool, use: str = "the provider could fetch"
) -> Url:
    not_a_url = f"{name} is not a URL that {use}"
    try:
        url = parse_url(text)
    except UnsafeAddressError as error:
        match error.code:
            case "scheme":
                detail = f"{name}: {error}; use an https URL that {use}"
                _refuse("url-scheme", f"{name} is neither http nor https", detail, name)
            case "credentials":
                detail = f"{name} holds a user name or password; use a URL that needs neither"
                _refuse("url-credentials", f"{name} holds credentials", detail, name)
            case "address":
                detail = f"{name}: {error}; use a public host name that {use}"
                _refuse("url-address", f"{name} names an address", detail, name)
        _refuse("url-invalid", f"{name} is not a URL", f"{not_a_url}: {error}", name)
    if any(not "!" <= letter <= "~" or letter in '"<>^`{|}' for letter in text):
        detail = f"{not_a_url}; percent-encode special characters"
        _refuse("url-invalid", f"{name} is not a URL", detail, name)
    if url.is_address and not allow_addresses:
        detail = f"{name} names an address; use a public host name that {use}"
        _refuse("url-address", f"{name} names an address", detail, name)
    if "." not in url.host and not allow_addresses:
        detail = (
            f"{name} names {url.host!r}, which only its own network knows; use a public host name"
        )
        _refuse("url-address", f"{name} names no public host", detail, name)
    return url


def readable_metadata(value: Json) -> dict[str, Json]:
    """Return a request's metadata if it is valid, else nothing."""
    try:
        return _metadata(value)
    except ProblemError:
        return {}


def _metadata(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        detail = 'metadata must be an object of your own, such as {"order": "42"}'
        _refuse("metadata-not-object", "metadata is not an object", detail, "metadata")
    _check_json(value)
    try:
        size = len(json.dumps(value, ensure_ascii=False).encode())
    except UnicodeEncodeError:
        detail = "metadata has half of a surrogate pair, which is not valid UTF-8"
        _refuse("metadata-not-text", "metadata is not text", detail, "metadata")
    if size > MAX_METADATA_BYTES:
        detail = (
            f"metadata has {size:,} bytes of JSON and may have {MAX_METADATA_BYTES:,}; "
            "send an id and keep the rest on your side"
        )
        _refuse("metadata-too-large", "metadata is too large", detail, "metadata")
    return value


def _check_json(value: Json, depth: int = 1) -> None:
    """Refuse what is JSON here but not to every JSON parser that metadata reaches."""
    match value:
        case int() if abs(value) > MAX_INTEGER:
            _refuse_number()
        case float() if not isfinite(value):
            _refuse_number()
        case dict() | list() if depth > MAX_METADATA_DEPTH:
            detail = f"metadata is nested more than {MAX_METADATA_DEPTH} levels deep; flatten it"
            _refuse("metadata-too-deep", "metadata is nested too deeply", detail, "metadata")
        case dict():
            for member in value.values():
                _check_json(member, depth + 1)
        case list():
            for member in value:
                _check_json(member, depth + 1)


def _refuse_number() -> NoReturn:
    detail = "metadata has a number that many JSON parsers can't read; send it as a string"
    _refuse("metadata-number", "metadata has a number that can't be read", detail, "metadata")


def read_preflight(value: Json) -> bool:
    """Return whether the inputs are to be checked. Raises ``ProblemError`` 400."""
    if value not in ("on", "off"):
        detail = 'preflight is "on", which looks at the inputs before they are paid for, or "off"'
        _refuse("preflight-unknown", "preflight is neither on nor off", detail, "preflight")
    return value == "on"


def _webhook(
    fields: Mapping[str, Json], callback_form: WebhookForm, *, allow_addresses: bool
) -> Webhook | None:
    """Read ``webhook``, or ``callback_url``, the provider's own word, as short for its URL.

    What is sent to a ``callback_url`` has the form ``callback_form``.
    """
    if "callback_url" in fields:
        if "webhook" in fields:
            detail = "callback_url is short for webhook.url; give one of the two"
            _refuse("webhook-twice", "Both webhook and callback_url", detail, "callback_url")
        url = fields["callback_url"]
        hook = _called(url, DEFAULT_WEBHOOK_EVENTS, "callback_url", allow_addresses=allow_addresses)
        return replace(hook, form=callback_form)
    if "webhook" not in fields:
        return None
    given = fields["webhook"]
    if not isinstance(given, dict):
        detail = 'webhook must be an object such as {"url": "https://…"}; without one, leave it out'
        _refuse("webhook-not-object", "webhook is not an object", detail, "webhook")
    refuse_unknown(given, {"url", "events"}, "webhook", "webhook.")
    events = _events(given.get("events", list(DEFAULT_WEBHOOK_EVENTS)))
    return _called(given.get("url"), events, "webhook.url", allow_addresses=allow_addresses)


def _called(url: Json, events: tuple[str, ...], name: str, *, allow_addresses: bool) -> Webhook:
    if not isinstance(url, str) or not url.strip():
        detail = f"{name} must be the https URL to call"
        _refuse("webhook-url-missing", f"{name} is not a URL", detail, name)
    if len(url) > MAX_INPUT_URL_CHARACTERS:
        detail = f"{name} has {len(url):,} characters and may have {MAX_INPUT_URL_CHARACTERS:,}"
        _refuse("url-too-long", f"{name} is too long", detail, name)
    parsed = _check_url(url, name, allow_addresses=allow_addresses, use="the stack could call")
    try:
        Policy(allow_http=allow_addresses, allow_private=allow_addresses).check_url(parsed)
    except UnsafeAddressError as error:
        detail = f"{name} can't be called: {error}; use an https URL on a web server's port"
        _refuse("webhook-url-refused", f"{name} can't be called", detail, name)
    return Webhook(url=url, events=events)


def _events(value: Json) -> tuple[str, ...]:
    """Read the requested events, without duplicates and in a fixed order."""
    known = tuple(WEBHOOK_EVENTS.values())
    if not isinstance(value, list) or not value or not all(one in known for one in value):
        detail = f"webhook.events is a list of one or more of {', '.join(known)}"
        _refuse("webhook-events", "webhook.events is invalid", detail, "webhook.events")
    return tuple(event for event in known if event in value)
