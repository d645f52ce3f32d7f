"""act-one and the provider simulator as two stacks of one account, as anybody can deploy them."""

import pytest
import requests

from local.stack import ROOT, deploy, running_stack, url_here, use_only_this_machine
from ops.probe.receiver.app import blank, run_of
from tests.e2e.caller import Caller
from tests.e2e.conftest import PARAMETERS

SECONDS = 60
WAITS = {"CallbackGraceSeconds": "4", "TaskTimeoutSeconds": "600"}


@pytest.fixture(scope="module")
def caller():
    use_only_this_machine()
    folder = ROOT / ".local/test-simulated"
    with running_stack(PARAMETERS | WAITS, folder, deployed_simulator=True) as stack:
        yield Caller(stack)


def key_of(caller):
    """Return the simulator's key, by the name that its output says."""
    secrets = caller.stack.client("secretsmanager")
    return secrets.get_secret_value(SecretId="act-one-simulator/key")["SecretString"]


def simulated(caller, path, key=None):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    url = f"{caller.stack.provider_url}/_simulator/{path}"
    return requests.get(url, headers=headers, timeout=SECONDS)


def sent(caller, behaviour):
    """Submit until the reply came within act-one's 15 s, which a busy machine may exceed."""
    for _ in range(5):
        task_id = caller.submit(behaviour)
        if caller.row(task_id).stage != "unconfirmed":
            return task_id
    pytest.fail(f"five creates with {behaviour} took more than 15 s each")


def test_transfers_succeed_and_fail_through_a_simulator_that_is_a_stack(caller):
    usual = caller.submit("seconds=1&callback=twice")
    lost = sent(caller, "seconds=1&callback=lost&feed=bare")
    failing = caller.submit("seconds=1&result=failed&reason=no+face")
    unsupported = sent(caller, "create=cut_after")
    ambiguous = caller.submit("seconds=1&create=bad_gateway&create_task=made&callback_retries=9")

    assert "raw socket" in caller.wait(unsupported, ["failed"]).error.message
    assert "no face" in caller.wait(failing, ["failed"]).error.message
    assert caller.wait(usual, ["succeeded"]).billing == "charged"
    # Its callback, which a message of the queue has delayed, is all that identifies it.
    assert caller.wait(ambiguous, ["succeeded"]).billing == "charged"
    assert caller.wait(lost, ["succeeded"]).billing == "charged"
    key = key_of(caller)
    shown = {task["task_id"]: task for task in simulated(caller, "tasks", key).json()}
    result = shown[usual]["media"]["result.mp4"]["sha256"]
    assert result in caller.objects(usual).values()
    assert shown[ambiguous]["callbacks"][-1]["status"] == 200
    assert shown[lost]["callbacks"] == []
    paid = simulated(caller, "bill", key).json()["by_callback"]
    assert {usual, lost, failing, ambiguous} <= paid.keys()
    assert unsupported not in paid
    assert {*paid.values()} == {1}


def test_a_stranger_gets_nothing_from_it_and_nobody_gets_it_to_call_other_hosts(caller):
    url, key = caller.stack.provider_url, key_of(caller)
    body = {
        "video": f"{url}/inputs/performance.mp4",
        "image": f"{url}/inputs/character.png",
        "callback_url": "https://example.com/",
    }

    def create(key):
        headers = {"Authorization": f"Bearer {key}"}
        return requests.post(
            f"{url}/runway/pro/act_one", json=body, headers=headers, timeout=SECONDS
        )

    before = simulated(caller, "bill", key).json()["creates_accepted"]
    assert create("guess").status_code == 401
    assert simulated(caller, "tasks").status_code == 401
    refused = create(key)
    assert refused.status_code == 400
    assert "CallbackHosts" in refused.text
    assert simulated(caller, "bill", key).json()["creates_accepted"] == before


def test_an_outage_is_there_for_every_instance_of_the_function(caller):
    url = f"{caller.stack.provider_url}/_simulator/faults"
    headers = {"Authorization": f"Bearer {key_of(caller)}"}
    for fault, shown in (("throttled", ["feed"]), ("none", [])):
        body = {"feed": fault, "seconds": 300}
        assert requests.post(url, json=body, headers=headers, timeout=SECONDS).status_code == 200
        assert list(requests.get(url, headers=headers, timeout=SECONDS).json()) == shown


def test_the_receiver_of_the_probe_records_as_a_stack(caller):
    stack, template = caller.stack, ROOT / "ops/probe/receiver/template.yaml"
    deploy({}, ROOT / ".local/test-simulated", stack.endpoint_url, template, "act-one-receiver")
    described = stack.client("cloudformation").describe_stacks(StackName="act-one-receiver")
    [output] = described["Stacks"][0]["Outputs"]
    url, secret = url_here(output["OutputValue"], stack.endpoint_url), "secret-of-a-run"
    run = run_of(secret)

    def call_back():
        path = f"callbacks/{run}/transfer/1"
        return requests.post(f"{url}/{path}", json={"task_id": "x"}, timeout=SECONDS).status_code

    assert [call_back(), call_back()] == [500, 200]
    image = requests.get(f"{url}/inputs/{run}/bad-image/blank.png", timeout=SECONDS)
    assert image.content == blank()
    assert image.headers["content-type"] == "image/png"
    head = requests.head(f"{url}/inputs/{run}/bad-image/blank.png", timeout=SECONDS)
    assert head.headers["content-length"] == str(len(blank()))
    assert requests.get(f"{url}/records/{run}", timeout=SECONDS).json()["records"] == []
    records = requests.get(f"{url}/records/{secret}", timeout=SECONDS).json()["records"]
    assert [(one["kind"], one["name"], one["status"]) for one in records] == [
        ("callback", "transfer", 500),
        ("callback", "transfer", 200),
        ("input", "bad-image/blank.png", 200),
        ("input", "bad-image/blank.png", 200),
    ]
    assert records[0]["body"] == '{"task_id": "x"}'
