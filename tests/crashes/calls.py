"""What the functions' calls are named, and which tasks they are about, read off the wire.

A name says what the call does for a task (`move to storing`, `store video.mp4`), not how AWS or
the provider spell it: the table of the crash matrix is written in these names.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_KEYS = {"provider": "read the provider key", "callback": "read the callback key"}


@dataclass(frozen=True, slots=True)
class Call:
    """One thing that a request does; ``task_id`` is None where the request names no task."""

    name: str
    task_id: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came; of a PUT the body is still on its way and left out."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


type Reader = Callable[[Request], list[Call]]
type OwnerOf = Callable[[str], str | None]
"""Tells whose task a provider's id is."""
type AwsReader = Callable[[Request, OwnerOf], list[Call]]


def aws_calls(request: Request, owner_of: OwnerOf) -> list[Call]:
    """Name what a request to AWS does."""
    target = request.headers.get("x-amz-target", "").rpartition(".")[2]
    if not target:
        return list(_object_calls(request))
    asked = json.loads(request.body)
    match target:
        case "GetSecretValue":
            return [Call(_KEYS[asked["SecretId"].rpartition("/")[2]])]
        case "PutItem" if "kind" in asked["Item"]:
            return [Call("keep the duration")]
        case "GetItem" if "kind" in asked["Key"]:
            return [Call("read the durations")]
        case "GetItem" if "id" in asked["Key"]:
            return [Call("read the clients")]
        case "GetItem":
            return [Call("read the row", asked["Key"]["task_id"]["S"])]
        case "PutItem" | "UpdateItem":
            return [_write(target, asked)]
        case "TransactWriteItems":
            [(kind, row)] = asked["TransactItems"][0].items()  # the others are the ledger's
            return [_write(f"{kind}Item", row)]
        case "Query" if asked["IndexName"] == "due":
            return [Call("list what is due")]
        case "Query":
            provider_task_id = asked["ExpressionAttributeValues"][":id"]["S"]
            return [Call("ask who has the id", owner_of(provider_task_id))]
        case "PutEvents":
            return [
                Call(f"publish {entry['DetailType']}", json.loads(entry["Detail"])["id"])
                for entry in asked["Entries"]
            ]
        case "StartExecution":
            return [Call("start the fallback", json.loads(asked["input"])["task_id"])]
        case _:
            return [Call(target)]


def _write(target: str, asked: dict[str, Any]) -> Call:
    if target == "PutItem":
        return Call("write the row", asked["Item"]["task_id"]["S"])
    return Call(_update_name(asked), asked["Key"]["task_id"]["S"])


def _update_name(asked: dict[str, Any]) -> str:
    written = asked["ExpressionAttributeNames"].values()
    if "stage" in written:
        return f"move to {asked['ExpressionAttributeValues'][':stage']['S']}"
    if "polls" in written:
        return "reserve the feed"
    if "look" in written:
        return "claim the look"
    if "copy_attempts" in written:
        return "claim the copy"
    if "copy_lease_until" in written:
        return "release the copy"
    if "evidence" in written:
        return "note the callback"
    return "learn the id" if "provider_task_id" in written else "note"


def _object_calls(request: Request) -> Iterator[Call]:
    """Name what is done to a result: ``/{bucket}/tasks/{yyyy}/{mm}/{dd}/{task_id}/{name}``."""
    folders = urlsplit(request.path).path.split("/")
    if len(folders) == 8 and folders[2] == "tasks":
        verb = {"PUT": "store", "GET": "read back"}.get(request.method, request.method)
        yield Call(f"{verb} {folders[7]}", folders[6])


def provider_calls(request: Request, owner_of: OwnerOf) -> list[Call]:
    """Name what a request to the provider does."""
    match urlsplit(request.path).path.split("/")[1:]:
        case ["runway", "pro", "act_one"]:
            callback = urlsplit(json.loads(request.body)["callback_url"]).path
            return [Call("create", callback.split("/")[-2])]
        case ["runway", "feed"]:
            return [Call("ask the feed", owner_of(json.loads(request.body)["task_id"]))]
        case ["media", provider_task_id, name]:
            return [Call(f"fetch {name}", owner_of(provider_task_id))]
        case _:
            return []
