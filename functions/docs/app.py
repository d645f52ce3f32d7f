"""Serve the API's description, without a key: the OpenAPI document and the pages under ``/docs``.

The files come from the layer ``DocsLayer``, which ``layers/docs`` builds from ``docs/``, and
Swagger UI from Powertools, which ships it. Nothing is loaded from other hosts.
"""

import os
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from act_one.http_events import Handler, route_of, serve_api, text_response
from act_one.problems import ProblemError
from act_one.settings import Settings

logger = Logger()
settings = Settings.from_environment(os.environ)

_DESCRIPTION: Final = "api_description"
_POWERTOOLS: Final = "aws_lambda_powertools"
_SWAGGER_UI: Final = "event_handler/openapi/swagger_ui"
"""In the package; as a module, it would import Powertools' routers."""
_HTML: Final = "text/html; charset=utf-8"
_CSS: Final = "text/css; charset=utf-8"
_SCRIPT: Final = "text/javascript; charset=utf-8"
_FILES: Final[Mapping[str, tuple[str, str, str]]] = {
    "problems": (_DESCRIPTION, "problems.html", _HTML),
    "pages.css": (_DESCRIPTION, "pages.css", _CSS),
    "start.js": (_DESCRIPTION, "start.js", _SCRIPT),
    "swagger-ui.css": (_POWERTOOLS, f"{_SWAGGER_UI}/swagger-ui.min.css", _CSS),
    "swagger-ui.js": (_POWERTOOLS, f"{_SWAGGER_UI}/swagger-ui-bundle.min.js", _SCRIPT),
}
_HEADERS: Final[Mapping[str, str]] = {
    # Swagger UI sets styles of its elements; it needs no script but the two files.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "public, max-age=3600",
}


def get_openapi(_event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Return the OpenAPI document."""
    return _file(_DESCRIPTION, "openapi.json", "application/json")


def get_docs(_event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Return the page that shows it."""
    return _file(_DESCRIPTION, "docs.html", _HTML)


def get_docs_page(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Return the page of problems, or a file that a page needs."""
    name = event["pathParameters"]["name"]
    if name not in _FILES:
        raise _no_such_route(f"there is no page of that name; there are {', '.join(_FILES)}")
    return _file(*_FILES[name])


def _file(package: str, name: str, media_type: str) -> dict[str, Any]:
    if not settings.api_docs:
        raise _no_such_route("this stack doesn't serve its description; its operator can (ApiDocs)")
    text = files(package).joinpath(name).read_text(encoding="utf-8")
    return text_response(200, text, {"Content-Type": media_type, **_HEADERS})


def _no_such_route(detail: str) -> ProblemError:
    return ProblemError(404, "no-such-route", "There is no such route", detail)


ROUTES: Final[Mapping[str, Handler]] = {
    "GET /openapi.json": get_openapi,
    "GET /docs": get_docs,
    "GET /docs/{name}": get_docs_page,
}


@logger.inject_lambda_context(clear_state=True)
@serve_api(settings.cors_origin)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Route a request of the REST API."""
    return ROUTES[route_of(event)](event, context)
