"""Assemble the OpenAPI document from the template, the routes, the schemas and the problems."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from act_one import VERSION
from act_one.problems import type_of
from local.expand import load
from tools.openapi.problems import Entry, entries
from tools.openapi.raised import ROOT, by_code, from_code, from_gateway
from tools.openapi.routes import (
    ELSEWHERE,
    HEADERS,
    OF_EVERY_REPLY,
    OF_EVERY_REQUEST,
    OF_EVERY_ROUTE,
    OF_ROUTES_WITH_A_BODY,
    OF_ROUTES_WITH_A_KEY,
    PARAMETERS,
    ROUTES,
    TAGS,
    Reply,
    Route,
)
from tools.openapi.schemas import MissingError, schemas

TEMPLATE = ROOT / "template.yaml"
_HERE = "tools/openapi/routes.py"
_DESCRIPTION = """\
Transfers the expression of a performance video to a character image. A task is paid for once, and
its result is stored and verified before it is called `succeeded`.

Send a key of the API in the header `x-api-key`. Errors are problem documents (RFC 9457), each
described under the `type` that it names."""


def served(template: Path = TEMPLATE) -> dict[tuple[str, str], bool]:
    """Map the template's methods and paths to whether they take an API key."""
    found: dict[tuple[str, str], bool] = {}
    for resource in load(template)["Resources"].values():
        for event in resource.get("Properties", {}).get("Events", {}).values():
            if event["Type"] == "Api":
                properties = event["Properties"]
                key = properties.get("Auth", {}).get("ApiKeyRequired", True)
                found[properties["Method"].upper(), properties["Path"]] = key
    return found


def document(
    routes: Mapping[tuple[str, str], Route] = ROUTES, template: Path = TEMPLATE
) -> dict[str, Any]:
    """Return the document.

    Raises ``MissingError`` for a route, parameter, field or problem that isn't described, or that
    is described but isn't there.
    """
    keyed = served(template)
    for method, path in sorted(keyed.keys() - routes.keys()):
        raise MissingError(
            f"template.yaml serves {method} {path}, which {_HERE} doesn't describe: add an entry "
            "to ROUTES"
        )
    for method, path in sorted(routes.keys() - keyed.keys()):
        raise MissingError(
            f"{_HERE} describes {method} {path}, which template.yaml doesn't serve: remove the "
            "entry, or add the event to its function"
        )
    _check_problems(routes)
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), route in routes.items():
        if route.public == keyed[method, path]:
            key = "an API key" if keyed[method, path] else "no API key"
            raise MissingError(
                f"by template.yaml, {method} {path} takes {key}: change `public` in {_HERE}"
            )
        paths.setdefault(path, {})[method.lower()] = _operation(path, route, routes)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Act-One transfers",
            "version": VERSION,
            "description": _DESCRIPTION,
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/v1"}],
        "security": [{"apiKey": []}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
            "headers": HEADERS,
            "parameters": {name: _parameter(name) for name in OF_EVERY_REQUEST},
            "schemas": schemas(),
        },
    }


def _check_problems(routes: Mapping[tuple[str, str], Route]) -> None:
    raised = by_code([*from_code(), *from_gateway()])
    described = entries()
    for code in sorted(raised.keys() - described.keys()):
        raise MissingError(
            f"{raised[code][0].where} raises {code!r}, which docs/problems.md doesn't describe: "
            "add an entry"
        )
    listed = {code for route in routes.values() for code in codes_of(route)}
    for code in sorted(listed - described.keys()):
        raise MissingError(f"{_HERE} lists the problem {code!r}, which has no entry and no code")
    for code in sorted(raised.keys() - listed - ELSEWHERE.keys()):
        raise MissingError(
            f"{raised[code][0].where} raises {code!r}, but no route in {_HERE} has it among its "
            "problems: add it there, or to ELSEWHERE"
        )


def codes_of(route: Route) -> list[str]:
    """List the problems of a route, with those of API Gateway."""
    with_key = () if route.public else OF_ROUTES_WITH_A_KEY
    with_body = OF_ROUTES_WITH_A_BODY if route.body else ()
    return [*route.problems, *OF_EVERY_ROUTE, *with_key, *with_body]


def _operation(path: str, route: Route, routes: Mapping[tuple[str, str], Route]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.operation,
        "tags": [route.tag],
        "summary": route.summary,
    }
    if route.description:
        operation["description"] = route.description
    if route.public:
        operation["security"] = []
    operation["parameters"] = [
        *(_parameter(name) for name in (*_in_path(path), *route.parameters)),
        *({"$ref": f"#/components/parameters/{name}"} for name in OF_EVERY_REQUEST),
    ]
    if route.body:
        operation["requestBody"] = _body(route)
    operation["responses"] = {
        str(status): reply for status, reply in sorted(_responses(route, routes).items())
    }
    return operation


def _in_path(path: str) -> list[str]:
    return re.findall(r"{(\w+)}", path)


def _parameter(name: str) -> dict[str, Any]:
    if name not in PARAMETERS:
        raise MissingError(f"{_HERE} has no parameter {name!r}: add it to PARAMETERS")
    return {"name": name, **PARAMETERS[name]}


def _body(route: Route) -> dict[str, Any]:
    options = [{"$ref": f"#/components/schemas/{name}"} for name in route.body]
    content: dict[str, Any] = {"schema": options[0] if len(options) == 1 else {"oneOf": options}}
    if route.body_examples:
        content["examples"] = {name: {"value": v} for name, v in route.body_examples.items()}
    return {"required": route.needs_body, "content": {"application/json": content}}


def _responses(route: Route, routes: Mapping[tuple[str, str], Route]) -> dict[int, dict[str, Any]]:
    responses = {status: _reply(reply, routes) for status, reply in route.replies.items()}
    described = entries()
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes_of(route)):
        own = route.statuses.get(code)
        for status in described[code].statuses if own is None else {own}:
            by_status.setdefault(status, []).append(code)
    for status, codes in by_status.items():
        responses[status] = _problem(status, sorted(codes), described, route.error_schema)
    return responses


def _reply(reply: Reply, routes: Mapping[tuple[str, str], Route]) -> dict[str, Any]:
    names = (*((reply.schema,) if reply.schema else ()), *reply.others)
    options = [{"$ref": f"#/components/schemas/{name}"} for name in names]
    schema: dict[str, Any] = {"anyOf": options} if len(options) > 1 else dict(*options)
    response: dict[str, Any] = {
        "description": reply.description,
        "headers": _headers(*reply.headers),
    }
    if reply.media_types:
        response["content"] = {
            media_type: {"schema": schema or _schema_of(media_type)}
            for media_type in reply.media_types
        }
    if reply.is_task:
        response["links"] = {
            route.operation: {
                "operationId": route.operation,
                "parameters": {"task_id": "$response.body#/id"},
            }
            for (_, path), route in routes.items()
            if _in_path(path) == ["task_id"]
        }
    return response


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*OF_EVERY_REPLY, *names)}


def _schema_of(media_type: str) -> dict[str, Any]:
    return {"type": "object" if media_type == "application/json" else "string"}


def _problem(
    status: int, codes: list[str], described: Mapping[str, Entry], error_schema: str | None
) -> dict[str, Any]:
    lines = [f"- [`{code}`]({type_of(code)}): {described[code].example['title']}" for code in codes]
    waits = any(
        raised.retry_after and raised.status == status and raised.code in codes
        for raised in (*from_code(), *from_gateway())
    )
    response: dict[str, Any] = {
        "description": "\n".join([f"{HTTPStatus(status).phrase}.", "", *lines]),
        "headers": _headers("Retry-After") if waits else _headers(),
        "x-codes": codes,
        "content": {},
    }
    by_gateway = {raised.code for raised in from_gateway()}
    if error_schema is None or by_gateway & {*codes}:
        response["content"]["application/problem+json"] = _schema("Problem")
    if error_schema is not None and {*codes} - (by_gateway - by_code(from_code()).keys()):
        response["content"]["application/json"] = _schema(error_schema)
    return response


def _schema(name: str) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{name}"}}
