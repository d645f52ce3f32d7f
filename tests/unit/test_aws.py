"""The S3 clients: S3 asks for retries, and gets them wherever a body can be sent again."""

import pytest
from botocore.exceptions import ClientError

from act_one.aws import s3_client
from local.emulator import environment
from tests.unit.content import status, with_length
from tests.unit.fakes import use_new_session
from tests.unit.hostile import peer


@pytest.fixture
def client_of(monkeypatch):
    """Build a shipped client of an S3 at a local port."""

    use_new_session(monkeypatch)

    def build(port, **chosen):
        for name, value in environment(f"http://127.0.0.1:{port}").items():
            if name.startswith("AWS_"):
                monkeypatch.setenv(name, value)
        return s3_client(**chosen)

    return build


def busy_once(found, connection):
    """Reply 503 to the first request and a file to the next."""
    found.read_request(connection)
    first = len(found.requests) == 1
    connection.sendall(status(503, b"Connection: close\r\n") if first else with_length(b"file"))


def test_a_call_that_s3_is_too_busy_for_is_repeated(client_of):
    with peer(busy_once) as found:
        answer = client_of(found.port).get_object(Bucket="bucket", Key="key")

        assert answer["Body"].read() == b"file"
        assert len(found.requests) == 2


def test_a_body_that_cannot_be_read_again_is_sent_once(client_of):
    with peer(busy_once) as found, pytest.raises(ClientError):
        client_of(found.port, attempts=1).put_object(Bucket="bucket", Key="key", Body=b"x")

    assert len(found.requests) == 1
