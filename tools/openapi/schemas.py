"""The schemas of what the API takes and returns, with the names and limits of the code."""

import copy
import json
from typing import Any

from act_one.inputs.batch import KEY, MAX_BATCH
from act_one.inputs.consent import MAX_CONSENT_CHARACTERS
from act_one.inputs.limits import MAX_INPUT_URL_CHARACTERS
from act_one.inputs.query import MAX_LIMIT
from act_one.inputs.request import (
    FIELDS,
    MAX_KEY_CHARACTERS,
    MAX_METADATA_BYTES,
    MAX_METADATA_DEPTH,
)
from act_one.tasks.events import DEFAULT_WEBHOOK_EVENTS, WEBHOOK_EVENTS
from act_one.tasks.task import SETTLED
from tools.openapi.raised import ROOT

type Schema = dict[str, Any]

TASK_SCHEMA = ROOT / "events/schemas/task.schema.json"
SAMPLE_EVENT = ROOT / "events/task-succeeded.json"
UPLOAD_ID = "^[0-9a-f]{16}$"
EXAMPLE_ID = "task_649ecfb84cadda50ea4aff08fc8be6be"


class MissingError(Exception):
    """Something of the code is not described; the message says what, and where to describe it."""


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _input_url(what: str, example: str) -> Schema:
    return {
        "type": "string",
        "format": "uri",
        "maxLength": MAX_INPUT_URL_CHARACTERS,
        "description": f"{what}: an http(s) URL that the provider can fetch, or the s3:// URI of a "
        "file that this client uploaded.",
        "examples": [f"https://media.example.com/{example}"],
    }


# ── What is taken ─────────────────────────────────────────────────────────────────────────────

INPUTS = {
    "video": _input_url("The performance", "performance.mp4"),
    "image": _input_url("The character", "character.png"),
}
UPLOADED = {
    "upload_id": {
        "type": "string",
        "pattern": UPLOAD_ID,
        "description": "The id of an upload, in place of video and image.",
        "examples": ["5f2b8c0d9e4a7163"],
    }
}
OPTIONS: dict[str, Schema] = {
    "metadata": {
        "type": "object",
        "description": f"Of yours, returned with the task: at most {MAX_METADATA_BYTES:,} bytes "
        f"and {MAX_METADATA_DEPTH} levels deep, with integers within ±2⁵³.",
        "examples": [{"order": "42"}],
    },
    "consent": {
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_CONSENT_CHARACTERS,
        "pattern": "\\S",
        "description": "Your own reference to the consent of the people who are shown: one line of "
        "plain text. Some stacks and clients require it.",
        "examples": ["release-form-2026-118"],
    },
    "preflight": {
        "enum": ["on", "off"],
        "type": "string",
        "default": "on",
        "description": "Whether the inputs are checked before anything is written or paid.",
    },
    "webhook": {
        "type": "object",
        "required": ["url"],
        "additionalProperties": False,
        "description": "The endpoint to call.",
        "properties": {
            "url": {"type": "string", "format": "uri", "maxLength": MAX_INPUT_URL_CHARACTERS},
            "events": {
                "type": "array",
                "minItems": 1,
                "items": {"type": "string", "enum": [*WEBHOOK_EVENTS.values()]},
                "default": [*DEFAULT_WEBHOOK_EVENTS],
            },
        },
    },
    "callback_url": {
        "type": "string",
        "format": "uri",
        "maxLength": MAX_INPUT_URL_CHARACTERS,
        "description": "The provider's own field, short for webhook.url.",
    },
}


DRY_RUN: dict[str, Schema] = {
    "dry_run": {
        "type": "boolean",
        "default": False,
        "description": "Whether to check everything, and then write and pay nothing.",
    }
}
BATCH_KEY: dict[str, Schema] = {
    KEY: {
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_KEY_CHARACTERS,
        "pattern": "\\S",
        "description": "Names the intended transfer, as the header `Idempotency-Key` does.",
        "examples": ["order-1001"],
    }
}


def _transfer(inputs: dict[str, Schema], description: str) -> Schema:
    return {
        "type": "object",
        "description": description,
        "required": [*inputs],
        "additionalProperties": False,
        "properties": copy.deepcopy(inputs | OPTIONS),
        "dependentSchemas": {"callback_url": {"properties": {"webhook": False}}},
    }


TASK_ID: Schema = {"type": "string", "pattern": "^task_[0-9a-f]{32}$", "examples": [EXAMPLE_ID]}


# ── Dry runs, batches and retries ─────────────────────────────────────────────────────────────


def _single(inputs: dict[str, Schema], description: str) -> Schema:
    """Return the schema of a request by itself, which may be a dry run."""
    transfer = _transfer(inputs, description)
    transfer["properties"] |= copy.deepcopy(DRY_RUN)
    return transfer


def _of_batches() -> dict[str, Schema]:
    entries = []
    for inputs in (INPUTS, UPLOADED):
        entry = _transfer(inputs, "A transfer, with the key that names it.")
        entry["required"] = [*entry["required"], *BATCH_KEY]
        entry["properties"] |= copy.deepcopy(BATCH_KEY)
        entries.append(entry)
    result: Schema = {
        "type": "object",
        "description": "What became of one request: a task, or a problem.",
        "required": ["status"],
        "properties": {
            "status": {
                "type": "integer",
                "description": "What the request by itself would have been answered with.",
            },
            "task": _ref("Task"),
            "problem": _ref("Problem"),
        },
    }
    return {
        "Batch": {
            "type": "object",
            "description": "Requests that are taken one by one.",
            "required": ["tasks"],
            "additionalProperties": False,
            "properties": {
                "tasks": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": MAX_BATCH,
                    "items": {"anyOf": entries},
                }
            },
        },
        "BatchResults": {
            "type": "object",
            "description": "What became of each request, in their order.",
            "required": ["results"],
            "properties": {"results": {"type": "array", "items": result}},
        },
        "DryRun": {
            "type": "object",
            "description": "What the request would lead to.",
            "required": [
                *("dry_run", "would", "task_id", "cost_micro_usd", "warnings", "budget"),
                *("eta_seconds", "eta_seconds_p90"),
            ],
            "properties": {
                "dry_run": {"type": "boolean", "const": True},
                "would": {
                    "type": "string",
                    "enum": ["create", "wait", "replay"],
                    "description": "Create a task and send it, create one that waits for the end "
                    "of a pause, or return the request's task.",
                },
                "task_id": {"type": ["string", "null"], "description": "Of a replay."},
                "cost_micro_usd": {"type": "integer", "minimum": 0},
                "warnings": {"type": "array", "items": _ref("Remark")},
                "budget": {"oneOf": [{"type": "null"}, _budget()]},
                "eta_seconds": _ESTIMATE,
                "eta_seconds_p90": _ESTIMATE,
            },
        },
        "Retry": {
            "type": "object",
            "description": "What the caller accepts.",
            "additionalProperties": False,
            "properties": {
                "may_be_billed_twice": {
                    "type": "boolean",
                    "default": False,
                    "description": "Whether to send the task again although it may be, or was, "
                    "paid for.",
                },
                "preflight": copy.deepcopy(OPTIONS["preflight"]),
            },
        },
    }


# ── CometAPI's forms ──────────────────────────────────────────────────────────────────────────


def _envelope(data: Schema, code: Schema, description: str) -> Schema:
    return {
        "type": "object",
        "description": description,
        "required": ["code", "data", "exec_time"],
        "properties": {
            "code": code,
            "msg": {"type": "string"},
            "message": {"type": "string"},
            "data": data,
            "exec_time": {"type": "number", "minimum": 0, "description": "In seconds."},
        },
    }


def _of_cometapi() -> dict[str, Schema]:
    created = {"type": "object", "required": ["task_id"], "properties": {"task_id": TASK_ID}}
    error = _envelope({"type": "null"}, {"type": ["integer", "string"]}, "An error.")
    error["properties"]["msg"]["description"] = "What is wrong, what to do, and a problem's code."
    return {
        "CometApiTransfer": {
            **_transfer(INPUTS, "A transfer, as CometAPI takes it. Other members are ignored."),
            "additionalProperties": True,
        },
        "CometApiCreated": _envelope(created, {"const": 200, "type": "integer"}, "A task's id."),
        "CometApiTaskId": {**created, "description": "What the feed is asked about."},
        "CometApiFeed": _envelope(
            {"type": "object", "required": ["task_id", "status"], "additionalProperties": True},
            {
                "oneOf": [
                    {"type": "integer", "const": 200},
                    {"type": "string", "const": "success"},
                ]
            },
            "A task, in one of CometAPI's two forms of it.",
        ),
        "CometApiError": error,
    }


# ── What is returned ──────────────────────────────────────────────────────────────────────────

_ESTIMATE: Schema = {"type": ["integer", "null"], "minimum": 0}
API_ONLY: dict[str, Schema] = {
    "eta_seconds": {
        **_ESTIMATE,
        "description": "Of open tasks only: in so many seconds half of the recent tasks had ended. "
        "0: this one takes longer. Null: not known.",
    },
    "eta_seconds_p90": {
        **_ESTIMATE,
        "description": "Of open tasks only: in so many seconds 90 % of the recent tasks had ended.",
    },
}
"""Members of a task that only the API shows, and not of every task: not in events/schemas."""

DELIVERY: Schema = {
    "type": "object",
    "description": "One attempt to call the task's webhook.",
    "required": [
        *("webhook_id", "event", "attempt", "at", "status", "ms", "reply", "error", "next_at")
    ],
    "properties": {
        "webhook_id": {"type": "string"},
        "event": {"type": "string"},
        "attempt": {"type": "integer", "minimum": 1},
        "at": {"type": "string", "format": "date-time"},
        "status": {"type": ["integer", "null"], "description": "Null without an HTTP reply."},
        "ms": {
            "type": "integer",
            "minimum": 0,
            "description": "How long it took, in milliseconds.",
        },
        "reply": {"type": "string", "description": "The beginning of the reply's body."},
        "error": {"type": ["string", "null"]},
        "next_at": {
            "type": ["string", "null"],
            "format": "date-time",
            "description": "When it is tried again; null if it is not.",
        },
    },
}


def _task() -> dict[str, Schema]:
    """Return the schemas of a task and of its parts, as the API shows them."""
    text = TASK_SCHEMA.read_text()
    for name in ("media", "remark"):
        text = text.replace(f"#/$defs/{name}", f"#/components/schemas/{name.title()}")
    task = json.loads(text)
    media, remark = (task["$defs"][name] for name in ("media", "remark"))
    for name in ("$schema", "$id", "$defs", "title"):
        del task[name]
    members = task["properties"]
    # Clients see the queries of their own inputs' URLs.
    for given in members["input"]["properties"].values():
        del given["pattern"]
    media["properties"] = {
        "url": {
            "type": ["string", "null"],
            "format": "uri",
            "description": "A link for up to an hour, from GET; null once the file has expired.",
        },
        **media["properties"],
    }
    output, webhook = (_object(members[name]) for name in ("output", "webhook"))
    members["output"]["oneOf"] = [{"type": "null"}, _ref("Output")]
    members["webhook"]["oneOf"] = [{"type": "null"}, _ref("Webhook")]
    webhook["properties"]["deliveries"] = {"type": "array", "items": _ref("Delivery")}
    webhook["required"] = [*webhook["required"], "deliveries"]
    task["description"] = "One transfer. More members may be added."
    task["examples"] = [_sample()]
    members |= copy.deepcopy(API_ONLY)
    media["description"] = "A stored file."
    remark["description"] = "An error or a warning."
    return {
        "Task": task,
        "Output": {"description": "The stored files.", **output},
        "Media": media,
        "Remark": remark,
        "Webhook": webhook,
    }


def _sample() -> dict[str, Any]:
    """Return the sample of a succeeded task, as GET shows it."""
    sample: dict[str, Any] = json.loads(SAMPLE_EVENT.read_text())["detail"]
    del sample["event_id"]
    for name, stored in sample["output"].items():
        file = stored["s3_uri"].rpartition("/")[2]
        url = f"https://act-one-resultsbucket-example.s3.us-east-1.amazonaws.com/{file}?X-Amz-…"
        sample["output"][name] = {"url": url, **stored}
    return sample


def _object(nullable: Schema) -> Schema:
    """Return the schema beside null."""
    return next(option for option in nullable["oneOf"] if option["type"] != "null")


def _usage() -> Schema:
    amounts = {
        "tasks": "Tasks that were created.",
        **{str(stage): f"Of these, now {stage}." for stage in sorted(SETTLED)},
        "reserved_micro_usd": "For tasks that are open.",
        "spent_micro_usd": "Charged by the provider.",
        "unknown_micro_usd": "Perhaps charged.",
        "stored_bytes": "Of results.",
    }
    day: Schema = {
        "type": "object",
        "required": ["date", *amounts],
        "properties": {
            "date": {"type": "string", "format": "date"},
            **{name: {"type": "integer", "description": text} for name, text in amounts.items()},
        },
    }
    return {
        "type": "object",
        "description": "What a client's tasks cost, in millionths of a dollar, by days in UTC.",
        "required": ["client", "from", "to", "days", "budget"],
        "properties": {
            "client": {"type": "string"},
            "from": {"type": "string", "format": "date"},
            "to": {"type": "string", "format": "date"},
            "days": {"type": "array", "items": day},
            "budget": {"oneOf": [{"type": "null"}, _budget()]},
        },
    }


def _budget() -> Schema:
    return {
        "type": "object",
        "description": "Of today: the client's or the stack's, whichever is tighter.",
        "required": ["left_micro_usd", "resets_at"],
        "properties": {
            "left_micro_usd": {"type": "integer", "minimum": 0},
            "resets_at": {"type": "string", "format": "date-time"},
        },
    }


def _form(kind: str) -> Schema:
    return {
        "type": "object",
        "description": f"A presigned POST to S3 for the {kind}: send the fields as they are, then "
        f"Content-Type ({kind}/…), and the file last.",
        "required": ["url", "fields", "max_bytes"],
        "properties": {
            "url": {"type": "string", "format": "uri"},
            "fields": {"type": "object", "additionalProperties": {"type": "string"}},
            "max_bytes": {"type": "integer", "minimum": 1},
        },
    }


def schemas() -> dict[str, Schema]:
    """Return all schemas by their names.

    Raises ``MissingError`` for a field of the request that isn't described.
    """
    described = {*INPUTS, *UPLOADED, *OPTIONS}
    for field in sorted(FIELDS - described):
        raise MissingError(
            f"inputs/request.py reads the field {field!r}, which tools/openapi/schemas.py doesn't "
            "describe: add it to OPTIONS"
        )
    for field in sorted(described - FIELDS):
        raise MissingError(
            f"tools/openapi/schemas.py describes the field {field!r}, which inputs/request.py "
            "doesn't read: remove it"
        )
    return {
        "TransferOfUrls": _single(INPUTS, "A transfer of files at URLs."),
        "TransferOfUpload": _single(UPLOADED, "A transfer of uploaded files."),
        **_of_batches(),
        **_task(),
        "TaskPage": {
            "type": "object",
            "description": "A page of a list.",
            "required": ["tasks", "next_token"],
            "properties": {
                "tasks": {"type": "array", "maxItems": MAX_LIMIT, "items": _ref("Task")},
                "next_token": {
                    "type": ["string", "null"],
                    "description": "The parameter of the next page; null on the last one.",
                },
            },
        },
        "Erased": {
            "type": "object",
            "description": "What is left of a task.",
            "required": ["id", "erased_at"],
            "properties": {"id": TASK_ID, "erased_at": {"type": "string", "format": "date-time"}},
        },
        "Delivery": DELIVERY,
        "Upload": {
            "type": "object",
            "required": ["upload_id", "expires_at", "video", "image"],
            "properties": {
                "upload_id": {"type": "string", "pattern": UPLOAD_ID},
                "expires_at": {"type": "string", "format": "date-time"},
                "video": _form("video"),
                "image": _form("image"),
            },
        },
        "WebhookSecrets": {
            "type": "object",
            "description": "The secrets that sign this client's webhooks.",
            "required": ["current", "previous"],
            "properties": {
                "current": {"type": "string", "pattern": "^whsec_"},
                "previous": {
                    "type": ["string", "null"],
                    "description": "Null unless the secret is being rotated.",
                },
            },
        },
        "Usage": _usage(),
        **_of_cometapi(),
        "Problem": {
            "type": "object",
            "description": "An error (RFC 9457). More members may be added.",
            "required": ["type", "title", "status", "detail", "code"],
            "properties": {
                "type": {
                    "type": "string",
                    "format": "uri-reference",
                    "description": "Where the problem is described, relative to the request's URL.",
                    "examples": ["/v1/docs/problems#input-aspect-ratio"],
                },
                "title": {"type": "string", "description": "For people."},
                "status": {"type": "integer", "minimum": 400, "maximum": 599},
                "detail": {
                    "type": "string",
                    "description": "For people: what is wrong, and what to do.",
                },
                "code": {
                    "type": "string",
                    "pattern": "^[a-z0-9-]+$",
                    "description": "For programs: the kind of problem.",
                },
                "field": {
                    "type": "string",
                    "description": "The member, parameter or header at fault.",
                },
                "found": {"type": "string", "description": "Of an input: what it is."},
                "needed": {"type": "string", "description": "Of an input: what it must be."},
                "fix": {"type": "string", "description": "Of an input: a command that repairs it."},
                "resets_at": {
                    "type": "string",
                    "format": "date-time",
                    "description": "Of a budget: when it starts anew.",
                },
                "differs": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "Of a reused key: the fields that differ.",
                },
            },
        },
    }
