"""A stack whose callbacks come through a REST API: it has no function URL."""

from urllib.parse import urlsplit

import pytest
import requests

from tests.e2e.caller import Caller


@pytest.fixture(scope="module")
def caller(guarded_stack):
    return Caller(guarded_stack)


def test_a_callback_through_the_api_ends_its_task(caller):
    assert ".execute-api." in caller.stack.callback_url

    task_id = caller.submit("seconds=1", consent="release 2026/114")

    assert caller.wait(task_id, {"succeeded"}).settled_by == "callback"
    assert caller.creates_paid(task_id) == 1


def test_a_guessed_token_and_another_path_are_refused(caller):
    api_id = urlsplit(caller.stack.callback_url).netloc.partition(".")[0]
    base = f"{caller.stack.endpoint_url}/_aws/execute-api/{api_id}/v1/callbacks"

    assert requests.post(f"{base}/task_1/guessed", timeout=20).status_code == 404
    assert requests.post(f"{base}/task_1", timeout=20).status_code in {403, 404}
    assert requests.get(f"{base}/task_1/guessed", timeout=20).status_code in {403, 404, 405}


def test_the_stack_has_no_function_url(caller):
    functions = caller.stack.client("lambda")
    names = [f["FunctionName"] for f in functions.list_functions()["Functions"]]

    assert names
    for name in names:
        assert functions.list_function_url_configs(FunctionName=name)["FunctionUrlConfigs"] == []
