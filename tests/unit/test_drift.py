"""`make drift`: the provider's offer and routes against what is assumed here."""

import json
from decimal import Decimal

import pytest
import yaml

from act_one.keys import Keys
from act_one.provider.client import CometApi
from ops import drift
from tests.endpoints import Answer, endpoint

MODELS = {
    "success": True,
    "page": 0,
    "total": 2,
    "data": [
        {"id": "another", "pricing": {"per_request": 1}},
        {
            "id": "runway_act_one",
            "provider": "Runway",
            "pricing": {"currency": "USD", "input": None, "per_request": 0.5, "ratio": 0.8},
        },
    ],
}


def page(route, *fields, required=None):
    described = {
        "openapi": "3.1.0",
        "paths": {
            route: {
                "post": {
                    "requestBody": {
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Body"}}
                        }
                    }
                }
            }
        },
        "components": {
            "schemas": {
                "Body": {
                    "type": "object",
                    "required": list(fields) if required is None else required,
                    "properties": {name: {"type": "string"} for name in fields},
                }
            }
        },
    }
    text = yaml.safe_dump(described)
    block = f"````yaml api/x.openapi.json POST {route}\n{text}````\n"
    return f"# A page\n\n```json\n{{}}\n```\n\n## OpenAPI\n\n{block}"


CREATE = page("/runway/pro/act_one", "video", "image", "callback_url")
FEED = page("/runway/feed", "task_id")


@pytest.fixture
def compare(capsys):
    """Run the command against a stand-in of the list and the pages."""

    def run(models=MODELS, create=CREATE, feed=FEED, price="0.4"):
        bodies = {
            "/models": models if isinstance(models, str) else json.dumps(models),
            "/pages/act-one-expression-migration.md": create,
            "/pages/feed-get-task.md": feed,
        }

        def answer(received, _):
            body = bodies.get(received.path)
            return Answer(404) if body is None else Answer(200, body.encode())

        with endpoint(answer) as server:
            urls = ["--models", f"{server.url}/models", "--pages", f"{server.url}/pages"]
            status = drift.main([*urls, *(["--price", price] if price else [])])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


def priced(**pricing):
    return {"data": [{"id": "runway_act_one", "pricing": pricing}]}


def test_an_offer_as_assumed_is_no_difference(compare):
    status, said = compare()

    assert status == 0
    assert said == "runway_act_one is listed at $0.4, and both routes are as described.\n"


def test_the_assumed_price_is_the_parameters_default(compare):
    assert drift.assumed_price() == Decimal("0.4")
    assert compare(price=None)[0] == 0


@pytest.mark.parametrize(
    ("models", "says"),
    [
        (priced(per_request=0.5), "listed at $0.5, and PricePerTaskUsd is $0.4: deploy with"),
        (priced(per_request="0.40", ratio="1.5"), "PricePerTaskUsd=0.6."),
        (priced(per_request=None, per_second=0.05), "without a price per request"),
        (priced(per_request="free"), "without a price per request"),
        ({"data": [{"id": "runway_act_two"}]}, "no runway_act_one any more"),
        ({"data": []}, "its form has changed"),
        ({"success": False}, "its form has changed"),
        ([], "its form has changed"),
        ("<html>", "doesn't reply with JSON"),
    ],
)
def test_another_offer_is_a_sentence_and_status_2(compare, models, says):
    status, said = compare(models)

    assert status == 2
    assert says in said


@pytest.mark.parametrize(
    "models",
    [
        priced(per_request=0.4),
        priced(per_request="0.4", ratio=1),
        {"data": [{"id": "runway_act_one", "per_request": 0.2, "ratio": 2}]},
    ],
)
def test_the_same_price_in_other_forms_is_no_difference(compare, models):
    assert compare(models)[0] == 0


@pytest.mark.parametrize(
    ("create", "says"),
    [
        (
            page("/runway/pro/act_two", "video", "image"),
            "POST /runway/pro/act_one is not described",
        ),
        (page("/runway/pro/act_one", "video", "image"), "doesn't describe the field callback_url"),
        (
            page("/runway/pro/act_one", "video", "image", "callback_url", "ratio"),
            "requires the field ratio, which the client doesn't send",
        ),
        ("# A page without a description\n", "read it by hand"),
        ("````yaml x\n: : :\n````\n", "read it by hand"),
        (None, "replies HTTP 404"),
    ],
)
def test_another_surface_is_a_sentence_and_status_2(compare, create, says):
    status, said = compare(create=create)

    assert status == 2
    assert says in said


def test_new_fields_that_may_be_left_out_are_no_difference(compare):
    fields = ("video", "image", "callback_url")
    create = page("/runway/pro/act_one", *fields, "seed", required=fields)

    assert compare(create=create)[0] == 0


def test_all_differences_are_said_at_once(compare):
    status, said = compare(priced(per_request=1), feed=page("/runway/feed", "id"))

    assert status == 2
    assert len(said.splitlines()) == 3


def test_a_page_that_is_gone_hides_no_other_price(compare):
    status, said = compare(priced(per_request=1), create=None)

    assert status == 2
    assert "listed at $1" in said
    assert "replies HTTP 404" in said


def test_an_unreachable_list_is_a_sentence(capsys):
    assert drift.main(["--models", "http://127.0.0.1:9/", "--pages", "http://127.0.0.1:9/"]) == 2
    assert "can't be fetched" in capsys.readouterr().err


def test_the_fields_that_are_compared_are_those_that_the_client_sends():
    """`drift.SENT` repeats what `provider/client.py` sends; this holds them together."""
    sent = {}

    def answer(received, _):
        sent[received.path] = frozenset(json.loads(received.body))
        return Answer(400)

    class Ring:
        def keys(self):
            return Keys(current="k")

        reload = keys

    with endpoint(answer) as server:
        api = CometApi(server.url, "", Ring(), lambda: 0.0)
        api.create(video="https://x/v", image="https://x/i", callback_url="https://x/c")
        api.feed("task", seconds=5)

    assert sent == drift.SENT
