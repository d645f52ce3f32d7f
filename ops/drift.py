"""Compare what the provider offers with what this backend assumes. Free, and without a key.

    python -m ops.drift [--models URL] [--pages URL] [--price USD]

The provider's public model list has the price of Act-One; its documentation's pages have the
OpenAPI description of the two routes. The exit status is 2, with a sentence for each difference, if
the model is missing, its price isn't the default of `PricePerTaskUsd`, or a route or a field that
the client uses isn't described.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import requests
import yaml

from act_one.provider.client import CREATE_PATH, FEED_PATH
from ops.stacks import NOT_DONE, CommandError, CommandParser, run

MODEL: Final = "runway_act_one"
MODELS_URL: Final = "https://api.cometapi.com/api/models"
PAGES_URL: Final = "https://apidoc.cometapi.com/api/video/runway/compatibility-format"
PAGES: Final[Mapping[str, str]] = {
    CREATE_PATH: "act-one-expression-migration.md",
    FEED_PATH: "feed-get-task.md",
}
"""The page of each route. A page is Markdown whose last code block is an OpenAPI description."""
SENT: Final[Mapping[str, frozenset[str]]] = {
    CREATE_PATH: frozenset({"video", "image", "callback_url"}),
    FEED_PATH: frozenset({"task_id"}),
}
"""The fields that the client sends."""
USAGE: Final = "make drift [MODELS=url] [PAGES=url] [PRICE=dollars]"
TEMPLATE: Final = Path(__file__).parent.parent / "template.yaml"
SECONDS: Final = 20
_BLOCK: Final = re.compile(r"^(`{3,})ya?ml[^\n]*\n(.*?)^\1\s*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Offer:
    """A model in the provider's list. `price` is in dollars per request, None if it has none."""

    model: str
    price: Decimal | None


def offer_in(document: object, model: str = MODEL) -> Offer | None:
    """Find a model in the document of the list; None if it isn't there.

    What is charged is `per_request` times `ratio`; both are in `pricing` or beside the id.
    Raises ``CommandError`` if the document has no list of models.
    """
    models = document.get("data") if isinstance(document, dict) else None
    if not isinstance(models, list) or not models:
        raise CommandError("The model list has no models in `data`; its form has changed.")
    for found in models:
        if isinstance(found, dict) and found.get("id") == model:
            pricing = found.get("pricing")
            both = {**found, **(pricing if isinstance(pricing, dict) else {})}
            price, ratio = _number(both.get("per_request")), _number(both.get("ratio", 1))
            return Offer(model, None if price is None or ratio is None else price * ratio)
    return None


def _number(value: object) -> Decimal | None:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def price_differences(document: object, expected: Decimal) -> Iterator[str]:
    """Say what differs of the offer."""
    offer = offer_in(document)
    if offer is None:
        yield f"The provider's list has no {MODEL} any more: the route may vanish or change."
    elif offer.price is None:
        yield f"{MODEL} is listed without a price per request; look at the provider's page."
    elif offer.price != expected:
        yield (
            f"{MODEL} is listed at ${offer.price.normalize():f}, and PricePerTaskUsd is "
            f"${expected.normalize():f}: deploy with "
            f"PricePerTaskUsd={offer.price.normalize():f}."
        )


def surface_differences(route: str, page: str) -> Iterator[str]:
    """Say what the page of a route doesn't describe of what the client uses."""
    descriptions = [_mapping(block[1]) for block in _BLOCK.findall(page)]
    described = next((one for one in reversed(descriptions) if "paths" in one), None)
    if described is None:
        yield f"The page of {route} has no OpenAPI description; read it by hand."
        return
    method = described["paths"].get(route, {}).get("post")
    if method is None:
        yield f"POST {route} is not described any more: the route may vanish or change."
        return
    content = method.get("requestBody", {}).get("content", {})
    schema = _resolved(content.get("application/json", {}).get("schema", {}), described)
    fields, required = set(schema.get("properties", ())), set(schema.get("required", ()))
    for name in sorted(SENT[route] - fields):
        yield f"POST {route} doesn't describe the field {name}, which the client sends."
    for name in sorted(required - SENT[route]):
        yield f"POST {route} requires the field {name}, which the client doesn't send."


def _mapping(text: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def _resolved(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref", "")
    if not reference.startswith("#/"):
        return schema
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found.get(part, {}) if isinstance(found, dict) else {}
    return found if isinstance(found, dict) else {}


def assumed_price() -> Decimal:
    """Return the default of `PricePerTaskUsd`, in dollars."""
    parameter = re.search(
        r"^  PricePerTaskUsd:\n(?:    .*\n)*?    Default: ([0-9.]+)\n",
        TEMPLATE.read_text(),
        re.MULTILINE,
    )
    if parameter is None:
        raise CommandError("template.yaml has no default of PricePerTaskUsd.")
    return Decimal(parameter[1])


def differences(models_url: str, pages_url: str, price: Decimal) -> list[str]:
    """Fetch the list and the pages; say what differs, or which page is missing.

    Raises ``CommandError`` if there is no list.
    """
    try:
        models = _get(models_url).json()
    except ValueError as error:
        raise CommandError(f"{models_url} doesn't reply with JSON.") from error
    found = [*price_differences(models, price)]
    for route, page in PAGES.items():
        try:
            text = _get(f"{pages_url.rstrip('/')}/{page}").text
        except CommandError as error:
            found.append(str(error))
        else:
            found += surface_differences(route, text)
    return found


def _get(url: str) -> requests.Response:
    try:
        reply = requests.get(url, timeout=SECONDS)
    except requests.RequestException as error:
        raise CommandError(f"{url} can't be fetched: {type(error).__name__}.") from error
    if not reply.ok:
        raise CommandError(f"{url} replies HTTP {reply.status_code}.")
    return reply


def main(arguments: list[str]) -> int:
    """Compare; returns the exit status: 2 if something differs."""
    found: list[str] = []

    def command() -> str:
        parser = CommandParser("ops.drift", f"Usage: {USAGE}")
        parser.add_argument("--models", default=MODELS_URL)
        parser.add_argument("--pages", default=PAGES_URL)
        parser.add_argument("--price")
        given = parser.parse_args(arguments)
        price = assumed_price() if given.price is None else _number(given.price)
        if price is None:
            raise CommandError("PRICE is a number of dollars.")
        found.extend(differences(given.models, given.pages, price))
        if found:
            raise CommandError("\n".join(found))
        return f"{MODEL} is listed at ${price.normalize():f}, and both routes are as described."

    status = run(command)
    return NOT_DONE if found else status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
