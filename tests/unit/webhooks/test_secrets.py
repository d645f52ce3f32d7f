"""The secrets of clients, derived from the stack's secret."""

import base64

import pytest

from act_one.keys import KeyRing, Keys
from act_one.problems import ProblemError
from act_one.webhooks.secrets import WebhookSecretError, client_secrets, show_secrets
from tests.unit.fakes import FakeClock, FakeSecrets

STACK = "Y3VycmVudCBzZWNyZXQgY3VycmVudCBzZWNyZXQg"
OTHER = "whsec_cHJldmlvdXMgc2VjcmV0IHByZXZpb3VzIHNlY3I="
A, B = "a" * 16, "b" * 16


def test_each_client_has_a_secret_of_32_bytes_that_never_changes():
    found = client_secrets(Keys(STACK), A)

    assert found == client_secrets(Keys(f"whsec_{STACK}"), A)
    assert found.current == "whsec_pGXlBn+4GI2GZeqslhmNKBeNdZTXboRKWdy+bbH8vQg="
    assert found.previous is None
    assert len(base64.b64decode(found.current.removeprefix("whsec_"))) == 32
    assert len({client_secrets(Keys(STACK), name).current for name in (A, B, "events")}) == 3


def test_a_rotation_of_the_stacks_secret_rotates_each_clients():
    during = client_secrets(Keys(OTHER, STACK), A)

    assert during.previous == client_secrets(Keys(STACK), A).current
    assert during.current == client_secrets(Keys(OTHER), A).current


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "no-base64!",
        "whsec_x",
        "whsec_ä",
        "a b c d e f g h a b c d e f g h a b c d e f g h",
        f"=={STACK}",
        f"{STACK}a",
        base64.b64encode(b"x" * 23).decode(),
    ],
)
@pytest.mark.parametrize("which", ["current", "previous"])
def test_a_secret_that_is_not_base64_or_too_short_signs_nothing(secret, which):
    keys = Keys(secret) if which == "current" else Keys(STACK, secret)

    with pytest.raises(WebhookSecretError, match="docs/operations") as caught:
        client_secrets(keys, A)

    assert not secret or secret not in str(caught.value)


def test_a_client_is_shown_its_own_secrets():
    ring = KeyRing(FakeSecrets(STACK), "webhook", FakeClock())

    assert show_secrets(ring, A) == {
        "current": client_secrets(Keys(STACK), A).current,
        "previous": None,
    }


@pytest.mark.parametrize("secret", [None, "", "short"])
def test_a_stack_without_a_secret_says_so(secret):
    ring = KeyRing(FakeSecrets(secret), "webhook", FakeClock())

    with pytest.raises(ProblemError) as caught:
        show_secrets(ring, A)

    assert (caught.value.status, caught.value.code) == (503, "webhook-secret-not-set")
