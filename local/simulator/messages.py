"""Requests and replies, as data: what a route gets and gives, however it is served."""

import json
from dataclasses import dataclass
from typing import Literal

from local.simulator.content import EMPTY, Content, length

type Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request with its body. Header names are lower-case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply and how to send it.

    - `status`: None sends nothing;
    - `outcome`: the `outcome` in the record of requests;
    - `start`, `stop`: the part of the content that is the body (`stop` None: to its end);
    - `framing`: what marks the end of the body: its length, chunks, or the connection's end;
    - `cut_after`: how many bytes of the body are sent, None for all;
    - `spread_seconds`: how long sending takes;
    - `ending`: keep the connection open, hang up, or hold it and send nothing more.
    """

    status: int | None
    outcome: str
    content: Content = EMPTY
    content_type: str = "application/json"
    headers: Headers = ()
    start: int = 0
    stop: int | None = None
    framing: Literal["length", "chunked", "close"] = "length"
    cut_after: int | None = None
    spread_seconds: float = 0
    ending: Literal["keep", "hang_up", "stall"] = "keep"
    provider_task_id: str | None = None
    task_id: str | None = None


def json_of(body: bytes) -> object:
    """Parse the JSON body of a request. Raises ValueError."""
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("the document is nested too deeply") from None


def json_reply(status: int, document: object, outcome: str, headers: Headers = ()) -> Reply:
    """Return a reply with a JSON document."""
    content = Content(json.dumps(document, ensure_ascii=False).encode())
    return Reply(status, outcome, content, headers=headers)


def html_reply(status: int, title: str, outcome: str, headers: Headers = ()) -> Reply:
    """Return an HTML page like those of proxies and web sites."""
    page = (
        f"<!DOCTYPE html>\n<html><head><title>{title}</title></head>"
        f"<body><center><h1>{title}</h1></center><hr></body></html>\n"
    )
    return Reply(status, outcome, Content(page.encode()), "text/html; charset=utf-8", headers)


def body_stop(reply: Reply) -> int:
    """Return the offset in the content where the body ends."""
    return length(reply.content) if reply.stop is None else reply.stop


def sent_stop(reply: Reply) -> int:
    """Return the offset in the content where the body is cut, or its end."""
    stop = body_stop(reply)
    return stop if reply.cut_after is None else min(reply.start + reply.cut_after, stop)
