"""A provider under the test's control: it bills, lags, reports falsely and fails."""

import io
import json
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qs, urlsplit

import requests
from requests.adapters import BaseAdapter

from act_one.net.downloads import PeerError
from act_one.net.exchange import NoReplyError, NotSentError, Reply
from act_one.provider.client import CREATE_PATH
from tools.media_files.small import small_mp4, small_png

STARTS_AFTER_SECONDS = 20.0
CDN = "https://cdn.provider.example"


class Create(StrEnum):
    """What the provider makes of a create."""

    ACCEPTED = "accepted"
    BUSY = "429"
    SATURATED = "503 saturated"
    REJECTED = "400"
    REJECTED_IN_200 = "200 with an error code"
    BROKEN = "500"
    BROKEN_BUT_MADE = "500 but made"
    NO_ID_BUT_MADE = "200 without an id but made"
    HTML_BUT_MADE = "html but made"
    BUSY_BUT_MADE = "429 but made"


MAKES = frozenset(
    {
        Create.ACCEPTED,
        Create.BROKEN_BUT_MADE,
        Create.NO_ID_BUT_MADE,
        Create.HTML_BUT_MADE,
        Create.BUSY_BUT_MADE,
    }
)


class State(StrEnum):
    """Where a task of the provider is."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Says(StrEnum):
    """What a callback's body holds."""

    TRUTH = "truth"
    TRUTH_BY_UPSTREAM_ID = "truth, by an id that the feed doesn't know"
    TRUTH_WITHOUT_ID = "truth, without an id"
    STALE_RUNNING = "running, whatever is true"
    GARBAGE = "garbage"
    ANOTHERS_ID = "the id of another task"
    STRANGERS_ID = "the id of an old task that isn't ours"
    FALSE_FAILURE = "a failure that is none"
    FALSE_SUCCESS = "a success that is none"


TRUTHS = frozenset({Says.TRUTH, Says.TRUTH_BY_UPSTREAM_ID, Says.TRUTH_WITHOUT_ID})
WITH_ID = frozenset({Says.TRUTH, Says.STALE_RUNNING, Says.FALSE_FAILURE, Says.FALSE_SUCCESS})
LIES = frozenset({Says.GARBAGE, Says.ANOTHERS_ID, Says.STRANGERS_ID, Says.FALSE_SUCCESS})
MEDIA_OUTAGES = ("", "down", "cut off")
OUTAGES = ("", "500", "html", "401", "no reply", "not sent")


@dataclass
class Made:
    """A task that the provider made, and billed."""

    number: int
    intent: str
    made_at: float
    known_at: float
    url_seconds: float
    state: State = State.QUEUED
    settled_at: float = 0.0
    was_failed: bool = False

    def becomes(self, state: State, now: float) -> None:
        self.was_failed = self.was_failed or state is State.FAILED
        self.state, self.settled_at = state, now

    @property
    def id(self) -> str:
        return f"made-{self.intent[5:17]}-{self.number}"

    def url(self, name: str, now: float) -> str:
        return f"{CDN}/{self.id}/{name}?expires={now + self.url_seconds}&signature=secret"

    def media(self, name: str) -> bytes:
        mark = f"{self.id}/{name} ".encode()
        return small_mp4(10_000, mark=mark) if name.endswith("mp4") else small_png(1_000, mark)


@dataclass
class Provider:
    """The fake; ``world`` gives it time and lets the test decide what befalls each call."""

    world: object
    made: list[Made] = field(default_factory=list)
    callback_paths: dict[str, str] = field(default_factory=dict)
    next_create: dict[str, Create] = field(default_factory=dict)
    keys: set[str] = field(default_factory=lambda: {"key-1"})
    feed_outage: str = ""
    media_outage: str = ""
    lag_seconds: float = 0.0
    url_seconds: float = 7_200.0
    deceived: set[str] = field(default_factory=set)
    """Intents whose create was answered 429 and yet made."""

    def bill(self, intent: str) -> int:
        return len(self.all_of(intent))

    def all_of(self, intent: str) -> list[Made]:
        return [made for made in self.made if made.intent == intent]

    def of(self, intent: str) -> Made | None:
        return next(iter(self.all_of(intent)), None)

    def post(self, url, body, headers, *, seconds, tls=None) -> Reply:  # noqa: ARG002
        """Stand in for ``act_one.exchange.post``."""
        asked = json.loads(body)
        key = headers["Authorization"].removeprefix("Bearer ")
        if url.endswith(CREATE_PATH):
            self.world.create_begins(_intent(asked["callback_url"]))
            operation, answer, busy = "create", self._create, _json(429, error="busy")
        else:
            operation, answer, busy = "feed", self._feed, _json(500, error="busy")
        try:
            return self.world.io(
                operation,
                lambda: answer(asked, key),
                not_sent=NotSentError("OSError"),
                lost=NoReplyError("TimeoutError"),
                refused=_BusyError(),
                repeats=False,
            )
        except _BusyError:
            return busy

    def _create(self, asked, key) -> Reply:
        if key not in self.keys:
            return _json(401, error={"message": "invalid key", "code": "invalid_key"})
        intent = _intent(asked["callback_url"])
        how = self.next_create.pop(intent, Create.ACCEPTED)
        if how in MAKES:
            self._make(intent, asked["callback_url"], how)
        match how:
            case Create.ACCEPTED:
                return self._accepted(self.made[-1])
            case Create.BUSY | Create.BUSY_BUT_MADE:
                return _json(429, error={"message": "slow down"}, retry_after="7")
            case Create.SATURATED:
                return _json(503, error={"message": "no available channel"})
            case Create.REJECTED:
                return _json(400, error={"message": "the video is too short"})
            case Create.REJECTED_IN_200:
                return _json(200, code="invalid_video", message="the video is too short")
            case Create.NO_ID_BUT_MADE:
                return _json(200, code=200, msg="success", data={})
            case Create.HTML_BUT_MADE:
                return Reply(status=200, headers={}, body=b"<html>ok</html>")
        return _json(500, error={"message": "something broke"})

    def _make(self, intent, callback_url, how) -> None:
        now = self.world.now
        self.callback_paths[intent] = urlsplit(callback_url).path
        self.made.append(
            Made(len(self.made), intent, now, now + self.lag_seconds, self.url_seconds)
        )
        if how is Create.BUSY_BUT_MADE:
            self.deceived.add(intent)
        self.world.billed(intent)

    @staticmethod
    def _accepted(made) -> Reply:
        match made.number % 3:
            case 0:
                return _json(200, code=200, msg="success", data={"task_id": made.id})
            case 1:
                data = {"task_id": made.id, "state": "", "status": "0", "video_url": None}
                return _json(200, code=200, msg="成功", data=data)
        return _json(200, task_id=made.id)

    def _feed(self, asked, key) -> Reply:
        match self.feed_outage:
            case "500":
                return _json(500, error="down")
            case "html":
                return Reply(status=200, headers={}, body=b"<html>maintenance</html>")
            case "401":
                return _json(401, error="who are you")
            case "no reply":
                raise NoReplyError("TimeoutError")
            case "not sent":
                raise NotSentError("OSError")
        if key not in self.keys:
            return _json(401, error="who are you")
        made = next((made for made in self.made if made.id == asked["task_id"]), None)
        if asked["task_id"] == STRANGER:
            old = int(self.world.began_at - 4_000)
            return _json(200, task_id=STRANGER, status="IN_PROGRESS", submit_time=old)
        if made is None or self.world.now < made.known_at:
            return _json(400, code="task_not_exist", message="task_not_exist", data=None)
        return self._report(made)

    def _report(self, made) -> Reply:
        if made.state is State.QUEUED and self.world.now > made.made_at + STARTS_AFTER_SECONDS:
            made.state = State.RUNNING
        done = made.state is State.SUCCEEDED
        video = made.url("video.mp4", self.world.now) if done else None
        submitted = int(made.made_at)
        if made.number % 3 == 0:
            words = {"queued": "0", "running": "1", "succeeded": "3", "failed": "2"}
            data = {
                "task_id": made.id,
                "state": "",
                "status": words[made.state],
                "video_url": video,
                "poster": made.url("poster.png", self.world.now) if done else None,
                "create_time": str(submitted),
                "msg": "no face found" if made.state is State.FAILED else None,
            }
            return _json(200, code=200, msg="成功", data=data)
        words = {
            "queued": "QUEUED",
            "running": "IN_PROGRESS",
            "succeeded": "SUCCESS",
            "failed": "FAILURE",
        }
        flat = {
            "task_id": made.id,
            "status": words[made.state],
            "submit_time": submitted,
            "progress": "100%" if made.state in {State.SUCCEEDED, State.FAILED} else "30%",
            "fail_reason": "no face found" if made.state is State.FAILED else "",
        }
        if made.number % 3 == 1:
            return _json(200, **flat, result_url=video)
        data = {**flat, "data": {"id": made.id, "status": "PENDING", "output": [video]}}
        return _json(200, code="success", message="", data=data)

    # ── Callbacks ─────────────────────────────────────────────────────────────────────────────

    def callback_body(self, made: Made, says: Says, anothers: str) -> bytes:
        """Write what the provider posts about a task that it made."""
        now = self.world.now
        done = made.state is State.SUCCEEDED
        legacy = {"queued": "0", "running": "1", "succeeded": "3", "failed": "2"}[made.state]
        truth = {"status": legacy, "video_url": made.url("video.mp4", now) if done else None}
        match says:
            case Says.TRUTH:
                body = {"task_id": made.id, **truth}
                if made.number % 2 and done:
                    result = {"video_url": truth["video_url"]}
                    body = {"task_id": made.id, "status": "completed", "result": result}
            case Says.TRUTH_BY_UPSTREAM_ID:
                body = {"task_id": f"upstream-{made.id}", **truth}
            case Says.TRUTH_WITHOUT_ID:
                body = truth
            case Says.STALE_RUNNING:
                body = {"task_id": made.id, "status": "1"}
            case Says.GARBAGE:
                return b'\xff{"status": ['
            case Says.ANOTHERS_ID:
                body = {"task_id": anothers, **truth, "video_url": None}
            case Says.STRANGERS_ID:
                body = {"task_id": STRANGER, "status": "1"}
            case Says.FALSE_FAILURE:
                body = {"task_id": made.id, "status": "2", "msg": "it failed, it says"}
            case Says.FALSE_SUCCESS:
                nothing = f"{CDN}/nothing/video.mp4?expires=0"
                body = {"task_id": made.id, "status": "3", "video_url": nothing}
        return json.dumps(body).encode()

    # ── Media ─────────────────────────────────────────────────────────────────────────────────

    @property
    def cdn(self) -> requests.Session:
        """A session that reaches the provider's CDN."""
        session = requests.Session()
        session.mount("https://", _Network(self))
        return session

    def get(self, url: str) -> tuple[int, bytes, int | None]:
        """Answer a GET at the CDN: status, body and announced length."""
        return self.world.io(
            "media",
            lambda: self._media(url),
            not_sent=PeerError("unreachable", "reset"),
            lost=PeerError("unreachable", "slow"),
            refused=PeerError("unreachable", "refused"),
            repeats=False,
            may_be_late=False,
        )

    def _media(self, url: str) -> tuple[int, bytes, int | None]:
        if self.media_outage == "down":
            raise PeerError("unreachable", "down")
        target = urlsplit(url)
        provider_task_id, name = target.path.strip("/").split("/")
        made = next((made for made in self.made if made.id == provider_task_id), None)
        expires = float(parse_qs(target.query)["expires"][0])
        if made is None or made.state is not State.SUCCEEDED or expires < self.world.now:
            return 403, b"<html>expired</html>", None
        content = made.media(name)
        announced = None if made.number % 2 else len(content)
        if self.media_outage == "cut off":
            return 200, content[:-7], len(content)
        return 200, content, announced


STRANGER = "somebody-elses-task"


class _BusyError(Exception):
    pass


class _Network(BaseAdapter):
    def __init__(self, provider: Provider) -> None:
        super().__init__()
        self.provider = provider

    def send(self, request, **_options):
        response = requests.Response()
        response.request = request
        response.status_code, content, length = self.provider.get(request.url)
        response.raw = io.BytesIO(content)
        if length is not None:
            response.headers["content-length"] = str(length)
        return response

    def close(self) -> None:
        """Nothing is kept."""


def _intent(callback_url: str) -> str:
    return urlsplit(callback_url).path.split("/")[2]


def _json(status: int, /, *, retry_after: str | None = None, **body) -> Reply:
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return Reply(status=status, headers=headers, body=json.dumps(body).encode())
