"""`make smoke`: replies and stacks that the emulator doesn't make."""

from types import SimpleNamespace

import pytest

from ops import smoke, transfer
from ops.deployed import Stack, reached_at

URL = "https://abc.lambda-url.eu-central-1.on.aws/"
PROBLEM = {"Content-Type": "application/problem+json"}


def reply(status, body=None, headers=PROBLEM, text="", method="GET"):
    asked = SimpleNamespace(method=method, url="https://api.example/v1/tasks")

    def json():
        if body is None:
            raise ValueError
        return body

    return SimpleNamespace(status_code=status, json=json, headers=headers, text=text, request=asked)


def stack(**changes):
    values = {
        "session": None,
        "name": "act-one",
        "id": "arn:stack/1",
        "status": "UPDATE_COMPLETE",
        "changed_at": "2026-11-28T12:00:00+00:00",
        "outputs": {
            "CallbackUrl": URL,
            "ApiUrl": "https://api.example/v1",
            "ApiKeyId": "k",
            "ProviderKeyCommand": "aws secretsmanager put-secret-value",
        },
        "parameters": {"CallbackIngress": "FunctionUrl"},
        "resources": {},
    }
    return Stack(**values | changes)


def texts(findings):
    return [f"{one.grade}: {one.text}" for one in findings]


@pytest.fixture
def answers(monkeypatch):
    """Let every request get a reply, and each policy be as it should."""

    def use(answer):
        for module in (smoke, transfer):
            monkeypatch.setattr(module, "request", lambda *_, **__: answer)
            monkeypatch.setattr(module, "api_key", lambda _: "key")
        monkeypatch.setattr(smoke, "callback_permissions", lambda _: iter(()))

    return use


@pytest.mark.parametrize(
    ("answer", "grade", "words"),
    [
        (reply(404, {"code": "not-found"}), "ok", "refuses a wrong token"),
        (reply(403, {"Message": "Forbidden"}), "problem", "two permissions since October 2025"),
        (reply(404, {"message": "Not Found"}), "problem", "gets 404"),
        (reply(502, None, text="<html>"), "problem", "gets 502"),
        (reply(200, {"received": True}), "problem", "gets 200"),
    ],
)
def test_a_callback_with_a_wrong_token_must_get_our_404(answer, grade, words, answers):
    answers(answer)

    [found] = texts(smoke.callback(stack()))

    assert found.startswith(grade)
    assert words in found


def test_the_address_in_front_of_callbacks_is_called_too(answers):
    answers(reply(404, {"code": "not-found"}))
    parameters = {"CallbackIngress": "Api", "CallbackBaseUrl": "https://hooks.example/act-one"}

    found = texts(smoke.callback(stack(parameters=parameters)))

    assert [line.rpartition("(")[2] for line in found] == [
        "abc.lambda-url.eu-central-1.on.aws)",
        "hooks.example)",
    ]


def statement(action, principal, effect="Allow"):
    return {"Effect": effect, "Action": action, "Principal": principal}


@pytest.mark.parametrize(
    ("ingress", "statements", "missing"),
    [
        (
            "FunctionUrl",
            [
                statement("lambda:InvokeFunctionUrl", "*"),
                statement("lambda:InvokeFunction", {"AWS": "*"}),
            ],
            None,
        ),
        ("FunctionUrl", [statement("lambda:InvokeFunctionUrl", "*")], "lambda:InvokeFunction "),
        ("FunctionUrl", [statement("lambda:InvokeFunction", "*")], "lambda:InvokeFunctionUrl "),
        (
            "FunctionUrl",
            [
                statement("lambda:InvokeFunctionUrl", {"Service": "events.amazonaws.com"}),
                statement("lambda:InvokeFunction", "*", "Deny"),
            ],
            "lambda:InvokeFunction and lambda:InvokeFunctionUrl",
        ),
        (
            "Api",
            [statement("lambda:InvokeFunction", {"Service": "apigateway.amazonaws.com"})],
            None,
        ),
        ("Api", [], "lambda:InvokeFunction to apigateway"),
    ],
)
def test_the_policy_of_the_callback_is_read(ingress, statements, missing):
    class Lambda:
        exceptions = SimpleNamespace(ResourceNotFoundException=KeyError)

        def get_policy(self, **_):
            return {"Policy": smoke.json.dumps({"Statement": statements})}

    session = SimpleNamespace(client=lambda _: Lambda())
    resources = {"CallbackFunction": SimpleNamespace(id="f")}
    found = texts(
        smoke.callback_permissions(
            stack(session=session, resources=resources, parameters={"CallbackIngress": ingress})
        )
    )

    assert found == [] if missing is None else missing in found[0]


@pytest.mark.parametrize(
    ("answer", "grade", "words"),
    [
        (reply(200, {"would": "wait", "cost_micro_usd": 1}), "warning", "make resume"),
        (reply(503, {"code": "provider-key-not-set"}), "problem", "put-secret-value"),
        (reply(429, {"code": "budget-used-up", "detail": "no money"}), "warning", "no money"),
        (reply(502, None, text="Bad Gateway"), "problem", "'Bad Gateway'"),
    ],
)
def test_a_dry_run_says_why_requests_would_not_be_sent(answer, grade, words, answers):
    answers(answer)

    [found] = texts(smoke.dry_run(stack()))

    assert found.startswith(grade)
    assert words in found


def test_a_budget_that_is_left_is_shown(answers):
    found = {"would": "create", "cost_micro_usd": 400_000, "budget": {"left_micro_usd": 1_200_000}}
    answers(reply(200, found))

    assert texts(smoke.dry_run(stack())) == [
        "ok: a request would create a task, which the provider charges $0.4",
        "ok: today's budget has $1.2 left",
    ]


@pytest.mark.parametrize(
    ("answer", "grade"),
    [
        (reply(404, {"code": "task-not-found"}), "ok"),
        (reply(404, {"code": "task-not-found"}, {"Content-Type": "application/json"}), "warning"),
        (reply(403, {"message": "Forbidden"}), "problem"),
        (reply(404, {"code": "no-such-route"}), "problem"),
        (reply(404, None, text="<html>"), "problem"),
    ],
)
def test_a_reply_counts_by_its_status_its_code_and_its_type(answer, grade):
    assert smoke.answered(answer, 404, "task-not-found", "good", "do").grade == grade


def test_a_lost_reply_to_the_paid_request_is_told_with_what_to_do(answers, monkeypatch):
    def lost(*_, **__):
        raise smoke.CommandError("api.example doesn't answer: ReadTimeout.")

    answers(reply(200))
    monkeypatch.setattr(transfer, "request", lost)
    asked = SimpleNamespace(video="https://a.example/v", image="https://a.example/i", key="")

    [found] = texts(transfer.transfer(stack(), asked))

    assert "the same command finds it, and never pays twice" in found


def test_a_repeat_has_the_key_of_the_same_deployment_only():
    key = transfer.attempt_key(stack())

    assert transfer.attempt_key(stack(parameters={})) == key
    assert transfer.attempt_key(stack(changed_at="2026-11-29T12:00:00+00:00")) != key
    assert transfer.attempt_key(stack(id="arn:stack/2")) != key


@pytest.mark.parametrize(
    ("url", "address", "host"),
    [
        (
            "https://a1b2.execute-api.eu-central-1.amazonaws.com/v1/tasks?wait=1",
            "http://127.0.0.1:4566/_aws/execute-api/a1b2/v1/tasks?wait=1",
            {},
        ),
        (f"{URL}callbacks/x", "http://127.0.0.1:4566/callbacks/x", {"Host": URL[8:-1]}),
        ("https://hooks.example/x", "https://hooks.example/x", {}),
    ],
)
def test_a_stand_in_for_aws_gets_what_is_meant_for_aws_only(url, address, host):
    assert reached_at(url, "http://127.0.0.1:4566") == (address, host)
    assert reached_at(url, None) == (url, {})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--video", "https://a.example/v"], "both as files, or both as URLs"),
        (["--image", "https://a.example/i"], "both as files, or both as URLs"),
        (["--video", "performance.avi"], "must end in one of .mp4"),
        (["--image", "performance.mp4"], "must end in one of .png"),
        (["--video", "nowhere.mp4"], "There is no file"),
    ],
)
def test_files_that_cannot_be_sent_are_told_before_anything_is_asked(
    given, words, monkeypatch, capsys
):
    monkeypatch.setattr(smoke.boto3, "Session", lambda: pytest.fail("AWS was asked"))

    assert smoke.main(["act-one", *given]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("paid", "terminal", "typed", "pays"),
    [
        (True, False, "", True),
        (False, False, "y", False),
        (False, True, "y", True),
        (False, True, "", False),
        (False, True, "yes please", False),
    ],
)
def test_only_a_clear_yes_pays(paid, terminal, typed, pays, monkeypatch):
    asked_for = []

    def answer(question):
        asked_for.append(question)
        return typed

    for name in ("stdin", "stdout"):
        monkeypatch.setattr(smoke.sys, name, SimpleNamespace(isatty=lambda: terminal))
    monkeypatch.setattr("builtins.input", answer)
    asked = SimpleNamespace(paid=paid, video="https://a.example/v")
    parameters = {"PricePerTaskUsd": "0.4"}

    assert smoke.confirmed(asked, stack(parameters=parameters)) is pays
    assert all("charges $0.4?" in question for question in asked_for)
    assert bool(asked_for) is (terminal and not paid)


@pytest.mark.parametrize(
    "arguments", [[], [" "], ["act-one", "--typo"], ["act-one", "--seconds=x"]]
)
def test_a_mistake_is_told_in_one_sentence(arguments, capsys):
    assert smoke.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "make smoke STACK=" in captured.err


def test_an_interrupted_run_says_that_its_task_goes_on(monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(smoke.Stack, "of", interrupt)

    assert smoke.main(["act-one", "--paid"]) == 130
    assert "pays nothing" in " ".join(capsys.readouterr().err.split())
