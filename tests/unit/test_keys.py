"""Keys in Secrets Manager: their two forms, their cache, their absence."""

import pytest
from botocore.exceptions import BotoCoreError

from act_one.keys import KeyNotSetError, KeyRing, Keys, parse_keys
from tests.unit.fakes import FakeClock, FakeSecrets


@pytest.mark.parametrize(
    ("secret", "keys"),
    [
        ("sk-1", Keys("sk-1")),
        ("  sk-1\n", Keys("sk-1")),
        ('{"current": "sk-1"}', Keys("sk-1")),
        ('{"current": "sk-2", "previous": "sk-1"}', Keys("sk-2", "sk-1")),
        ('\n{"current": " sk-2\\n", "previous": "sk-1 "}', Keys("sk-2", "sk-1")),
        ('{"current": "sk-1", "previous": ""}', Keys("sk-1")),
        ('{"current": "sk-1", "previous": "  "}', Keys("sk-1")),
        ('{"current": "sk-1", "previous": null}', Keys("sk-1")),
        ('{"current": null}', Keys("")),
        ("{}", Keys("")),
        ("", Keys("")),
    ],
)
def test_a_secret_is_a_bare_key_or_names_current_and_previous(secret, keys):
    assert parse_keys(secret) == keys


def test_both_keys_are_listed_current_first():
    assert Keys("b", "a").both() == ("b", "a")
    assert Keys("b").both() == ("b",)


@pytest.mark.parametrize("secret", [None, "", " ", "{}", '{"current": ""}', '{"previous": "a"}'])
def test_a_secret_without_a_key_is_said_to_be_unset(secret):
    ring = KeyRing(FakeSecrets(secret), "stack/provider", FakeClock())

    with pytest.raises(KeyNotSetError, match="stack/provider"):
        ring.keys()


def test_a_key_that_is_set_later_is_found():
    secrets = FakeSecrets(None)
    ring = KeyRing(secrets, "provider", FakeClock())
    with pytest.raises(KeyNotSetError):
        ring.keys()

    secrets.secret = "sk-1"

    assert ring.keys() == Keys("sk-1")


def test_a_secret_is_read_once_in_five_minutes():
    clock, secrets = FakeClock(), FakeSecrets("sk-1")
    ring = KeyRing(secrets, "provider", clock)
    ring.keys()
    secrets.secret = "sk-2"

    clock.pass_by(300)
    assert (ring.keys(), secrets.reads) == (Keys("sk-1"), 1)
    clock.pass_by(1)
    assert (ring.keys(), secrets.reads) == (Keys("sk-2"), 2)


def test_a_secret_is_reloaded_at_most_every_30_seconds():
    clock, secrets = FakeClock(), FakeSecrets("sk-1")
    ring = KeyRing(secrets, "provider", clock)
    ring.keys()
    secrets.secret = "sk-2"

    clock.pass_by(30)
    assert (ring.reload(), secrets.reads) == (Keys("sk-1"), 1)
    clock.pass_by(1)
    assert (ring.reload(), secrets.reads) == (Keys("sk-2"), 2)
    assert (ring.reload(), secrets.reads) == (Keys("sk-2"), 2)


def test_while_a_secret_cannot_be_read_the_keys_read_before_go_on():
    clock, secrets = FakeClock(), FakeSecrets("sk-1")
    ring = KeyRing(secrets, "provider", clock)
    ring.keys()
    secrets.outage, secrets.secret = True, "sk-2"

    clock.pass_by(301)
    assert ring.keys() == ring.reload() == Keys("sk-1")
    clock.pass_by(31)
    assert ring.reload() == Keys("sk-1")
    assert secrets.reads == 3

    secrets.outage = False
    clock.pass_by(31)
    assert ring.reload() == Keys("sk-2")


def test_a_secret_that_was_never_read_is_an_error_while_it_cannot_be():
    secrets = FakeSecrets("sk-1")
    secrets.outage = True
    ring = KeyRing(secrets, "provider", FakeClock())
    with pytest.raises(BotoCoreError):
        ring.keys()

    secrets.outage = False

    assert ring.keys() == Keys("sk-1")
