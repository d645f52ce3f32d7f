"""`make probe` against the simulator: its conclusions must be those of each behaviour."""

import json
import re
import socket
import time
from threading import Thread
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import requests

from local.emulator import ROOT
from local.simulator import Provider
from ops.probe import __main__ as command
from ops.probe import redact, steps
from ops.probe.receiver.__main__ import Receiver
from ops.probe.receiver.app import Record, run_of
from ops.probe.report import write_report
from ops.probe.shapes import shape_of
from ops.probe.state import Exchange, State, Step, alone, load, private_file
from tests.transcripts import TRANSCRIPTS

KEY = "sk-planted-key-0123456789abcdef"
NOWHERE = "http://127.0.0.1:9"  # the discard port: the offer is looked up by other tests
QUICK = {"seconds": "0.1", "not_exist_seconds": "0"}


@pytest.fixture(scope="module")
def receiver():
    with Receiver(("127.0.0.1", 0), ROOT / "local/media") as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def probed(receiver, tmp_path, monkeypatch):
    """Probe a simulator with a behaviour; returns the conclusions by name.

    `calls` and `fetches` are how many callbacks and requests for inputs the simulator sends: then
    nothing else comes, however long the probe waits.
    """
    key_file, report = tmp_path / "key.txt", tmp_path / "report.json"
    key_file.write_text(KEY + "\n")

    def probe(behaviour="", *more, paid=True, calls=1, fetches=2):
        def enough(records, _):
            return [sum(one.kind == kind for one in records) for kind in ("callback", "input")] == [
                calls,
                fetches,
            ]

        monkeypatch.setattr(steps, "enough", enough)
        chosen = {**QUICK, **dict(parse_qsl(behaviour))}
        with Provider(KEY, behaviour=urlencode(chosen)) as provider:
            arguments = ["--key-file", str(key_file), "--report", str(report)]
            arguments += ["--provider", provider.url, "--models", NOWHERE, "--pages", NOWHERE]
            arguments += ["--poll-seconds", "0.05", "--callback-seconds", "120"]
            arguments += ["--receiver", receiver, *(["--paid", "yes"] if paid else []), *more]
            probe.said = []
            assert command.main(arguments, probe.said.append) == 0
            probe.creates = provider.bill()["creates_seen"]
        return {one["name"]: one for one in json.loads(report.read_text())["conclusions"]}

    probe.report, probe.key_file = report, key_file
    return probe


def answer(found, name):
    return found[name]["answer"]


TRANSFER = ("--steps", "transfer")
FAILURE = ("--steps", "bad-image")


@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        ("feed=wrapped", "wrapped, with legacy inside"),
        ("feed=wrapped&nested=upstream", "wrapped, with bare inside"),
        ("feed=flat", "flat"),
        ("feed=legacy", "legacy"),
        ("feed=bare", "bare"),
    ],
)
def test_the_forms_of_the_feed_are_told_apart(probed, behaviour, says):
    found = probed(f"{behaviour}&callback_retries=2&callback_retry_seconds=0.1", *TRANSFER, calls=3)

    assert answer(found, "feed") == says
    assert answer(found, "understood") == "yes"
    assert answer(found, "repeats").startswith("yes: 3 calls")
    assert "succeeded" in answer(found, "duration")
    assert probed.creates == 1


def test_a_provider_that_does_not_repeat_callbacks(probed):
    found = probed("callback_body=guide", *TRANSFER)

    assert answer(found, "repeats") == "no repetition was seen after a 500"
    assert "a guide body, its id is the one of the create" in answer(found, "callback")
    assert "from an IPv4 address" in answer(found, "callback")
    headers = found["callback"]["seen"]["headers"]
    assert headers["user-agent"] == "Go-http-client/2.0"
    assert found["callback"]["seen"]["body"]["result"]["video_url"] != ""


def test_what_it_says_and_reports_is_what_the_page_shows(probed):
    probed("callback_body=guide", *TRANSFER)

    [transcript] = [text for line, text in TRANSCRIPTS.items() if line.startswith("make probe ")]
    said = [line for line in probed.said if "offer isn't known" not in line]
    assert numberless("\n".join(said)) == numberless(transcript.rstrip())
    page = (ROOT / "docs/provider.md").read_text()
    _, shown = page.split("| question | answer |\n")
    documented = shown.partition("\n\n")[0].splitlines()
    _, written = probed.report.with_suffix(".md").read_text().split("| question | answer |\n")
    answers = [line for line in written.partition("\n\n")[0].splitlines() if "offered" not in line]
    assert numberless("\n".join(answers)) == numberless("\n".join(documented))


def numberless(text):
    return re.sub(r"\b\d+(\.\d+)? (s|h)\b", r"N \2", text)


def test_a_provider_that_gives_up_repeating(probed):
    found = probed("callback_retries=1&callback_retry_seconds=0.1", *TRANSFER, calls=2)

    assert answer(found, "repeats").startswith("yes, but it gave up: 2 calls")


def test_calls_at_each_change_are_not_taken_for_repetitions_alone(probed):
    found = probed("seconds=0.4&callback=every_change", *TRANSFER, calls=2)

    assert "other changes of state" in answer(found, "repeats")


@pytest.mark.parametrize(
    ("callback", "says"),
    [
        ("upstream_id", "its id is the upstream's, which the feed shows too"),
        ("foreign", "its id is unknown to the feed"),
        ("malformed", "a not JSON body, its id is missing"),
        ("empty", "a not JSON body, its id is missing"),
        ("lost", "none came"),
    ],
)
def test_what_callbacks_hold_is_told(probed, callback, says):
    found = probed(f"callback={callback}", *TRANSFER, calls=callback != "lost")

    assert says in answer(found, "callback")
    if callback == "lost":
        assert answer(found, "repeats") == "not settled"
    if callback in ("malformed", "empty"):
        assert "the body of a callback" in answer(found, "understood")


@pytest.mark.parametrize(
    ("form", "status"), [("400", "HTTP 400"), ("200", "HTTP 200"), ("error_code", "HTTP 404")]
)
def test_how_long_a_task_does_not_exist_is_measured(probed, form, status):
    behaviour = f"seconds=2&not_exist_seconds=2&not_exist_form={form}"

    found = probed(behaviour, *TRANSFER)

    step = load(private_file(probed.report)).steps["transfer"]
    assert step.unknown_until - step.sent_at < step.known_at - step.sent_at
    assert step.known_at - step.sent_at >= 2
    until, known = (f"{at - step.sent_at:.0f} s" for at in (step.unknown_until, step.known_at))
    said = f"seen until {until}, known from {known} after the create, as {status}"
    assert answer(found, "task-not-exist") == said


def test_a_task_that_exists_at_once_is_told(probed):
    found = probed("", *TRANSFER)

    assert answer(found, "task-not-exist").startswith("not seen: the first look, ")


@pytest.mark.parametrize(
    ("fetch", "says"),
    [
        ("get", "performance.mp4: GET; user agent Go-http-client/1.1; IPv4"),
        ("head_get", "performance.mp4: HEAD, GET;"),
        ("ranges", "performance.mp4: GET bytes=0-999, GET bytes=1000-;"),
        ("none", "no request came for them"),
    ],
)
def test_how_inputs_are_fetched_is_told(probed, fetch, says):
    found = probed(f"fetch={fetch}", *TRANSFER, fetches={"none": 0, "get": 2}.get(fetch, 4))

    assert says in answer(found, "inputs")
    if fetch != "none":
        assert answer(found, "inputs").startswith("character.png: ")


@pytest.mark.parametrize(
    ("behaviour", "failure", "refund"),
    [
        ("result=failed", "the task fails, in the form wrapped; callbacks: 1", "320 of 320"),
        ("result=failed&feed=bare&callback=lost", "the form bare; callbacks: 0", "account's log"),
        ("create=rejected", "the create is refused, HTTP 400, so nothing is billed", "no failed"),
        ("create=invalid_request_500", "the create is refused, HTTP 500", "no failed"),
        ("result=succeeded", "there is none", "no failed task"),
        ("result=failed&reason=SAFETY.INPUT.IMAGE", "by moderation: don't repeat it", ""),
    ],
)
def test_the_form_of_a_failure_is_told(probed, behaviour, failure, refund):
    rejected = behaviour.startswith("create=")
    silent = rejected or "lost" in behaviour
    found = probed(behaviour, *FAILURE, calls=not silent, fetches=0 if rejected else 2)

    assert failure in answer(found, "failure")
    assert refund in answer(found, "refund")


def test_where_a_result_is_and_how_long_it_works(probed):
    found = probed("", *TRANSFER)

    assert answer(found, "result").startswith("http from …, its URL says")  # the receiver's host
    assert "expires 24.0 h after the end; it worked after 0.0 h" in answer(found, "result")
    assert found["result"]["seen"]["url"]["query"] == ["Expires", "Sig"]


def test_looking_again_tells_when_a_result_has_expired_and_pays_nothing(probed):
    probed("", *TRANSFER)  # its provider is gone by now
    file = private_file(probed.report)
    with Provider(KEY) as provider:
        state = json.loads(file.read_text())
        state["provider"] = provider.url
        state["steps"]["transfer"]["result_url"] = f"{provider.url}/media/gone/result.mp4"
        file.write_text(json.dumps(state))
        arguments = ["--key-file", str(probed.key_file), "--again", str(probed.report)]

        assert command.main(arguments) == 0

        assert provider.bill()["creates_seen"] == 0
    found = {one["name"]: one for one in json.loads(probed.report.read_text())["conclusions"]}
    assert "it failed after 0.0 h" in answer(found, "result")


# ── Money ───────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_paid_without_consent(probed):
    found = probed(paid=False)

    assert probed.creates == 0
    assert answer(found, "offer") == "not settled"  # the list can't be reached
    assert answer(found, "key").startswith("accepted; an unknown task is HTTP 400; a wrong key")
    assert answer(found, "create") == "not settled"


def test_the_price_is_said_before_anything_is_paid(probed):
    probed("create=throttled", *TRANSFER, calls=0)

    said = "\n".join(probed.said)
    assert "about $0.40 for each" in said
    assert said.index("$0.40") < said.index("bills nothing")


def test_the_same_command_pays_once(probed):
    first = probed("", *TRANSFER)
    with_other_provider = private_file(probed.report)
    state = json.loads(with_other_provider.read_text())
    with Provider(KEY, behaviour=urlencode(QUICK)) as provider:
        with_other_provider.write_text(json.dumps(state | {"provider": provider.url}))
        arguments = ["--key-file", str(probed.key_file), "--report", str(probed.report)]
        arguments += ["--provider", provider.url, "--models", NOWHERE, "--pages", NOWHERE]
        arguments += ["--receiver", state["receiver"], "--paid", "yes", *TRANSFER]
        said = []

        assert command.main(arguments, said.append) == 0

        assert provider.bill()["creates_seen"] == 0
    assert "done before" in "\n".join(said)
    second = {one["name"]: one for one in json.loads(probed.report.read_text())["conclusions"]}
    assert answer(second, "feed") == answer(first, "feed")


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("moment", ["before the create", "after the create", "at the first look"])
def test_an_interrupted_probe_goes_on_without_a_second_create(
    receiver, tmp_path, monkeypatch, moment
):
    key_file, report = tmp_path / "key.txt", tmp_path / "report.json"
    key_file.write_text(KEY)
    real_call, real_look = steps.call, steps.look

    def dying_call(probe, path, body, key, **more):
        if path == steps.CREATE_PATH:
            if moment == "after the create":
                real_call(probe, path, body, key, **more)
            if moment != "at the first look":
                raise Killed
        return real_call(probe, path, body, key, **more)

    def dying_look(*_):
        raise Killed

    with Provider(KEY, behaviour=urlencode(QUICK)) as provider:
        arguments = ["--key-file", str(key_file), "--report", str(report), "--receiver", receiver]
        arguments += ["--provider", provider.url, "--models", NOWHERE, "--pages", NOWHERE]
        arguments += ["--poll-seconds", "0.05", "--callback-seconds", "0.1"]
        arguments += ["--paid", "yes", *TRANSFER]
        if moment == "before the create":  # there is no task that could end
            arguments += ["--task-seconds", "0.5"]
        monkeypatch.setattr(steps, "call", dying_call)
        if moment == "at the first look":
            monkeypatch.setattr(steps, "look", dying_look)
        with pytest.raises(Killed):
            command.main(arguments, lambda _: None)
        monkeypatch.setattr(steps, "call", real_call)
        monkeypatch.setattr(steps, "look", real_look)
        paid = provider.bill()["creates_seen"]
        said = []

        assert command.main(arguments, said.append) == 0

        assert provider.bill()["creates_seen"] == paid
    step = load(private_file(report)).steps["transfer"]
    assert paid == (0 if moment == "before the create" else 1)
    if moment == "before the create":
        assert "It may be billed and is not sent again" in "\n".join(said)
        assert step.state == ""
    else:  # its callback has told the task of a create whose reply was never seen
        assert step.state == "succeeded"


def test_two_probes_at_once_do_not_both_pay(tmp_path, capsys):
    key_file = tmp_path / "key.txt"
    key_file.write_text(KEY)
    arguments = ["--key-file", str(key_file), "--report", str(tmp_path / "report.json")]

    with alone(tmp_path):
        status = command.main([*arguments, "--provider", NOWHERE], lambda _: None)

    assert status == 2
    assert "Another probe" in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == [key_file]


def test_nothing_is_sent_if_it_cannot_be_written_down_before(tmp_path, capsys):
    key_file, report = tmp_path / "key.txt", tmp_path / "report.json"
    key_file.write_text(KEY)
    private_file(report).with_name("report.private.json.new").mkdir()
    with Provider(KEY) as provider:
        arguments = ["--key-file", str(key_file), "--report", str(report), "--paid", "yes"]

        status = command.main([*arguments, "--provider", provider.url], lambda _: None)

        assert provider.requests() == []
    assert status == 2
    assert "can't be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({}, "has no performance.mp4 and character.png"),
        ({"performance.mp4": b"x" * 4_000_001, "character.png": b"x"}, "has no performance.mp4"),
        ({"performance.mp4": b"text", "character.png": b"text"}, "would not take these inputs"),
    ],
)
def test_inputs_that_the_provider_would_fail_on_are_not_paid_for(tmp_path, capsys, inputs, says):
    folder, key_file = tmp_path / "inputs", tmp_path / "key.txt"
    folder.mkdir()
    key_file.write_text(KEY)
    for name, content in inputs.items():
        (folder / name).write_bytes(content)
    with Provider(KEY) as provider, Receiver(("127.0.0.1", 0), folder) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        arguments = ["--receiver", f"http://127.0.0.1:{server.server_address[1]}", "--paid", "yes"]
        arguments += ["--key-file", str(key_file), "--report", str(tmp_path / "report.json")]
        arguments += ["--provider", provider.url, "--models", NOWHERE, "--pages", NOWHERE]

        status = command.main(arguments, lambda _: None)

        server.shutdown()
        thread.join()
        assert provider.bill()["creates_seen"] == 0
    assert status == 2
    assert says in capsys.readouterr().err


def test_a_refusal_that_bills_nothing_may_be_tried_again(probed):
    probed("create=throttled", *TRANSFER, calls=0)
    assert "transfer" not in load(private_file(probed.report)).steps


def test_an_ambiguous_create_is_found_by_its_callback(probed):
    found = probed("seconds=0.5&create=bad_gateway&create_task=made", *TRANSFER)

    assert answer(found, "create") == "ambiguous, HTTP 502"
    assert "succeeded" in answer(found, "duration")
    assert "the create of transfer, HTTP 502" in answer(found, "understood")


# ── Secrets ─────────────────────────────────────────────────────────────────────────────────────

PLANTED = {
    "a key in an error": "sk-someone-elses-key-987654321",
    "a bearer": "Bearer abcdefgh12345678",
    "an account": "123456789012",
    "a task": "3d95c2a0-05e1-441a-981e-eb0c1f5d983b",
    "a signature": "Zm9vYmFyYmF6cXV4cXV1eA",
    "a user": "48213555",
    "a path": "/private/folder/of/user/result.mp4",
    "a token in a header": "t0ken-in-a-header-of-the-provider",
    "a prompt": "a private prompt",
}


def planted_state(receiver):
    url = (
        f"https://cdn.example.com{PLANTED['a path']}?Expires=1795883767"
        f"&X-Amz-Signature={PLANTED['a signature']}&AWSAccessKeyId=AKIA{PLANTED['an account']}"
    )
    body = {
        "code": "success",
        "message": f"{PLANTED['a key in an error']} {PLANTED['an account']} see {url}",
        "data": {
            "task_id": PLANTED["a task"],
            "user_id": int(PLANTED["a user"]),
            "action": "IMAGE_TO_VIDEO",
            "status": "SUCCESS",
            "prompt": PLANTED["a prompt"],
            "fail_reason": f"{PLANTED['a bearer']} of {PLANTED['a task']}",
            "result_url": url,
            "progress": "100%",
            "submit_time": 1795883767,
        },
    }
    text = json.dumps(body)
    headers = {
        "set-cookie": PLANTED["a token in a header"],
        "x-request-id": PLANTED["a signature"],
        "server": f"cdn {PLANTED['a task']}",
        "content-type": "application/json",
    }
    seen = Exchange(at=100.0, status=200, headers=headers, body=text)
    record = Record(
        at=101.0,
        kind="callback",
        name="transfer",
        method="POST",
        status=500,
        headers=headers | {"authorization": PLANTED["a bearer"], "host": "abc.lambda-url.on.aws"},
        family=4,
        body=text,
    )
    fetched = Record(
        at=99.0,
        kind="input",
        name="transfer/performance.mp4",
        method="GET",
        status=200,
        headers={"user-agent": f"agent/1 ({PLANTED['an account']})", "x-token": "x" * 30},
        family=6,
    )
    step = Step(
        sent_at=98.0,
        outcome="accepted",
        create=seen,
        task_id=PLANTED["a task"],
        looks=[seen],
        known_at=100.0,
        ended_at=100.0,
        state="succeeded",
        records=[fetched, record],
        result_url=url,
        results=[Exchange(at=102.0, status=200, headers=headers)],
    )
    failed = Step(sent_at=98.0, outcome="rejected", create=seen, done=True)
    return State(
        provider="https://api.cometapi.com",
        secret="the-secret-of-this-run",
        receiver=receiver,
        free={"unknown-task": seen, "wrong-key": seen},
        steps={"transfer": step, "bad-image": failed},
    )


def test_a_report_has_no_secrets_whatever_the_provider_sends(tmp_path):
    receiver = "https://abc.lambda-url.on.aws"
    state, file = planted_state(receiver), tmp_path / "report.json"

    write_report(state, KEY, file)

    for written in (file.read_text(), file.with_suffix(".md").read_text()):
        forbidden = [KEY, "the-secret-of-this-run", run_of("the-secret-of-this-run"), receiver]
        for secret in (*forbidden, *PLANTED.values(), "X-Amz-Signature=", "Expires=1", "AKIA"):
            assert secret not in written, secret
        # It isn't empty either: what the probe is for is there.
        assert "cdn.example.com" in written
        assert "IMAGE_TO_VIDEO" in written
        assert "X-Amz-Signature" in written  # the name of a parameter


def test_a_real_report_has_no_secrets_and_the_private_file_is_private(probed):
    probed("", calls=1)
    state = load(private_file(probed.report))
    written = probed.report.read_text() + probed.report.with_suffix(".md").read_text()

    assert private_file(probed.report).stat().st_mode & 0o777 == 0o600
    assert KEY not in private_file(probed.report).read_text()
    assert KEY not in written + "".join(probed.said)
    for step in state.steps.values():
        assert step.task_id
        assert step.task_id not in written
        assert step.result_url.partition("?")[2] not in written
    assert state.secret not in written
    assert run_of(state.secret) not in written


def test_free_text_is_shortened_and_its_long_words_removed():
    assert redact.text("id 123456789012 and 3d95c2a0-05e1-441a-981e-eb0c1f5d983b") == "id … and …"
    assert redact.outline({"n": [1, 2, 3, 4], "status": 3, "user": 7}) == {
        "n": ["number"] * 3,
        "status": 3,
        "user": "number",
    }


PERSON = "bob.smith@example.com"


@pytest.mark.parametrize(
    ("body", "hidden"),
    [
        ({"message": f"user {PERSON} (channel 12) has no quota"}, PERSON),
        ({"message": "not allowed from 203.0.113.77."}, "203.0.113"),
        ({"message": "not allowed from 2001:db8::77"}, "2001:db8"),
        ({"message": "see https://bob:pw1@cdn.example.com/users/bob/a.mp4 now"}, "bob"),
        ({"fail_reason": "see //cdn.example.com/users/bob/a.mp4"}, "bob"),
        ({PERSON: 1}, PERSON),
        ({"message": json.dumps({"token": "tkn-12ab"})}, "tkn-12ab"),
        ({"error": 'refused: {"token": "tkn-12ab"}'}, "tkn-12ab"),
        ({"error": 'refused: [{"token": "tkn-12ab"'}, "tkn-12ab"),
        ({"data": json.dumps({"message": json.dumps({"user": PERSON})})}, PERSON),
    ],
    ids=str,
)
def test_whom_a_reply_is_about_is_not_written_down_wherever_it_says_so(body, hidden):
    assert hidden not in json.dumps(redact.body(json.dumps(body)))
    assert hidden not in str(redact.headers({"Server": json.dumps(body)}))


def test_json_in_a_text_is_written_down_as_its_form():
    inner = json.dumps({"status": "FAILED", "user": "bob"})

    assert redact.outline({"data": inner}) == {"data": {"status": "FAILED", "user": "text of 3"}}
    assert redact.outline({"message": "[" * 10_000}) == {"message": "[…]"}
    assert redact.text("[SAFETY.INPUT] a face is missing") == "[SAFETY.INPUT] a face is missing"


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        (
            {"code": "success", "data": {"task_id": "x", "status": "QUEUED", "action": "y"}},
            "wrapped",
        ),
        ({"task_id": "x", "status": "SUCCESS", "result_url": "https://x"}, "flat"),
        (
            {"code": 200, "msg": "ok", "data": {"task_id": "x", "state": "", "status": "0"}},
            "legacy",
        ),
        ({"id": "x", "status": "SUCCEEDED", "output": []}, "bare"),
        ({"task_id": "x", "status": "3", "video_url": "https://x", "point": "1"}, "legacy"),
        ({"task_id": "x", "status": "completed", "result": {}}, "guide"),
        ({"error": {"message": "x"}}, "other"),
    ],
)
def test_each_published_form_has_its_name(body, shape):
    assert shape_of(json.dumps(body)) == shape


# ── The receiver ────────────────────────────────────────────────────────────────────────────────


def test_the_provider_cannot_read_the_records(receiver):
    secret = f"secret-{time.time()}"
    run = run_of(secret)
    requests.post(f"{receiver}/callbacks/{run}/transfer/1", data=b"{}", timeout=5)
    requests.get(f"{receiver}/inputs/{run}/bad-image/blank.png", timeout=5)

    assert requests.get(f"{receiver}/records/{run}", timeout=5).json() == {"records": []}
    records = requests.get(f"{receiver}/records/{secret}", timeout=5).json()["records"]
    assert [(one["kind"], one["status"]) for one in records] == [("callback", 500), ("input", 200)]


def exchange(receiver, request):
    """Send raw bytes, and nothing more; return the first line of the reply, if any."""
    place = urlsplit(receiver)
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return connection.makefile("rb").readline().decode()


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "\N{SUPERSCRIPT TWO}", "1000001"])
def test_a_body_of_no_usable_length_is_refused_unread(receiver, length):
    secret = f"secret-{time.time()}"
    head = f"POST /callbacks/{run_of(secret)}/transfer/0 HTTP/1.1\r\nHost: x\r\n"

    said = exchange(receiver, f"{head}Content-Length: {length}\r\n\r\n{{}}".encode("latin-1"))

    assert said.split()[1] == "413"
    assert requests.get(f"{receiver}/records/{secret}", timeout=5).json() == {"records": []}


def test_a_callback_in_chunks_is_recorded_whole(receiver):
    secret = f"secret-{time.time()}"
    url = f"{receiver}/callbacks/{run_of(secret)}/transfer/0"

    with requests.Session() as session:
        for _ in range(2):  # over one connection: nothing of the first is left in it
            sent = session.post(url, data=iter([b'{"task', b'_id": ', b'"1"}']), timeout=5)
            assert sent.status_code == 200

    records = requests.get(f"{receiver}/records/{secret}", timeout=5).json()["records"]
    assert [one["body"] for one in records] == ['{"task_id": "1"}'] * 2


@pytest.mark.parametrize("chunk", ["-1\r\n", "f4241\r\n", "x\r\n", "5\r\nabc", ""], ids=repr)
def test_chunks_that_are_too_long_or_cut_off_are_refused(receiver, chunk):
    secret = f"secret-{time.time()}"
    head = f"POST /callbacks/{run_of(secret)}/transfer/0 HTTP/1.1\r\nHost: x\r\n"

    said = exchange(receiver, f"{head}Transfer-Encoding: chunked\r\n\r\n{chunk}".encode())

    assert said.split()[1] == "413"
    assert requests.get(f"{receiver}/records/{secret}", timeout=5).json() == {"records": []}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--paid", "maybe"], "PAID is yes"),
        (["--steps", "everything"], "STEPS are"),
        (["--key-file", "/nowhere/key"], "can't be read"),
        ([], "Name the file of the provider's key"),
        (["--again", "missing.json"], "AGAIN= names the report"),
        (["--what"], "Usage: make probe"),
    ],
)
def test_a_wrong_command_says_what_is_wrong(arguments, says, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PROVIDER_API_KEY", raising=False)
    if "--again" in arguments:
        monkeypatch.setenv("PROVIDER_API_KEY", KEY)

    assert command.main(arguments) == 2
    assert says in capsys.readouterr().err
