"""A callback URL's token is valid for its own task only."""

import base64
from urllib.parse import urlsplit

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from act_one.keys import KeyRing, Keys
from act_one.provider.callback_token import UnknownTokenError, callback_url, key_id, verify
from act_one.tasks.identifiers import derive_task_id
from tests.sizes import size
from tests.unit.fakes import FakeClock, FakeSecrets

TASK = "task_0123456789abcdef0123456789abcdef"
OTHER = "task_fedcba9876543210fedcba9876543210"
KEYS = Keys("current-secret", "previous-secret")
SECRET = '{"current": "current-secret", "previous": "previous-secret"}'


def path_of(task_id=TASK, keys=KEYS):
    return urlsplit(callback_url("https://callback.example/", task_id, keys)).path


def ring(secret=SECRET, clock=None):
    return KeyRing(FakeSecrets(secret), "callback", clock or FakeClock())


PATH = path_of()
TOKEN = PATH.rpartition("/")[2]


def assert_refused(path, key_ring=None):
    with pytest.raises(UnknownTokenError):
        verify(path, key_ring or ring())


@pytest.mark.parametrize("base", ["https://callback.example", "https://callback.example/"])
def test_a_callback_url_holds_task_id_key_id_and_mac(base):
    kid, mac = TOKEN.split(".")

    assert callback_url(base, TASK, KEYS) == f"https://callback.example/callbacks/{TASK}/{TOKEN}"
    assert kid == key_id("current-secret")
    assert len(base64.urlsafe_b64decode(mac + "=")) * 8 >= 128


def test_a_token_does_not_reveal_its_key():
    assert "secret" not in TOKEN
    assert key_id("current-secret") != key_id("previous-secret")


@given(st.text("0123456789abcdef", min_size=1, max_size=40).map("task_{}".format))
def test_a_callback_url_verifies_for_its_task(task_id):
    assert verify(path_of(task_id), ring()) == task_id


@pytest.mark.parametrize("path", [PATH + "/", PATH.lstrip("/")])
def test_slashes_around_a_path_do_not_matter(path):
    assert verify(path, ring()) == TASK


@pytest.mark.parametrize("prefix", ["/prod", "/a/b", "/callbacks"])
def test_the_base_urls_path_is_ignored(prefix):
    assert verify(prefix + PATH, ring()) == TASK


def test_another_tasks_token_is_refused():
    assert_refused(f"/callbacks/{OTHER}/{TOKEN}")


def test_a_token_of_the_previous_key_verifies():
    assert verify(path_of(keys=Keys("previous-secret")), ring()) == TASK


def test_a_token_of_an_older_key_is_refused():
    assert_refused(path_of(keys=Keys("older-secret")))


def test_a_key_id_with_another_keys_mac_is_refused():
    previous = path_of(keys=Keys("previous-secret")).rpartition(".")[2]

    assert_refused(f"/callbacks/{TASK}/{key_id('current-secret')}.{previous}")


def test_a_truncated_token_is_refused():
    for end in range(len(TOKEN)):
        assert_refused(f"/callbacks/{TASK}/{TOKEN[:end]}")


@pytest.mark.parametrize("bit", [1, 2, 4, 8, 16, 32, 64])
def test_a_token_with_a_flipped_bit_is_refused(bit):
    for place, letter in enumerate(TOKEN):
        flipped = TOKEN[:place] + chr(ord(letter) ^ bit) + TOKEN[place + 1 :]

        assert_refused(f"/callbacks/{TASK}/{flipped}")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/callbacks",
        f"/callbacks/{TASK}",
        f"/callbacks/{TASK}/",
        f"/callbacks//{TOKEN}",
        f"/callbacks/{TASK}//{TOKEN}",
        f"/callbacks/{TASK}/{TOKEN}/more",
        f"/Callbacks/{TASK}/{TOKEN}",
        f"/callbacks/{TASK.upper()}/{TOKEN}",
        f"/callbacks/{OTHER}/../{TASK}/{TOKEN}",
        f"/callbacks/./{TASK}/{TOKEN}",
        f"/callbacks%2F{TASK}%2F{TOKEN}",
        f"/callbacks/{TASK}%2F{TOKEN}",
        f"/callbacks/{OTHER}%2F..%2F{TASK}/{TOKEN}",
        f"/callbacks/{TASK}/{TOKEN}%00",
        f"/callbacks/{TASK}/{TOKEN}?x=1",
        f"/callbacks/{TASK}/{TOKEN} ",
        f"/callbacks/{TASK}/{TOKEN}\n",
        f"/callbacks/{TASK}/{TOKEN}=",
        f"/callbacks/{TASK}/{TOKEN}ü",
        f"/callbacks/{TASK}é/{TOKEN}",
        f"/callbacks/{TASK}/\ud800",
        f"/callbacks/{TASK}/{'a' * 100_000}",
        f"/callbacks/{TASK}/.",
        f"/callbacks/{TASK}/{TOKEN.replace('.', '')}",
        f"/callbacks/{TASK}/{TOKEN.partition('.')[0]}.",
        f"\\callbacks\\{TASK}\\{TOKEN}",
    ],
    ids=lambda path: ascii(path)[:60],
)
def test_a_malformed_path_is_refused(path):
    assert_refused(path)


@settings(max_examples=size(100, 300))
@given(
    st.one_of(
        st.text(max_size=120),
        st.text(max_size=60).map(lambda text: f"/callbacks/{TASK}/{text}"),
        st.text("abcdefABCDEF0123456789-_.", max_size=60).map(
            lambda text: f"/callbacks/{TASK}/{text}"
        ),
        st.tuples(st.integers(0, len(PATH)), st.integers(0, len(PATH)), st.text(max_size=3)).map(
            lambda cut: PATH[: cut[0]] + cut[2] + PATH[cut[1] :]
        ),
    )
)
def test_no_other_path_verifies(path):
    assume(not path.strip("/").endswith(PATH.strip("/")))

    assert_refused(path)


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_a_token_is_refused_for_a_task_of_another_idempotency_key(one, two):
    assume(one != two)
    first, second = derive_task_id("client", one), derive_task_id("client", two)
    token = path_of(first).rpartition("/")[2]

    assert_refused(f"/callbacks/{second}/{token}")


# ── Key rotation ──────────────────────────────────────────────────────────────────────────────


def test_an_unknown_key_id_reloads_the_secret():
    clock = FakeClock()
    key_ring = ring("old-secret", clock)
    verify(path_of(keys=Keys("old-secret")), key_ring)

    key_ring._client.secret = '{"current": "new-secret", "previous": "old-secret"}'  # noqa: SLF001
    clock.pass_by(31)

    assert verify(path_of(keys=Keys("new-secret")), key_ring) == TASK
    assert verify(path_of(keys=Keys("old-secret")), key_ring) == TASK


def test_unknown_key_ids_reload_the_secret_at_most_every_30_seconds():
    clock = FakeClock()
    key_ring = ring(clock=clock)
    secrets = key_ring._client  # noqa: SLF001 - our own fake

    for number in range(100):
        assert_refused(path_of(keys=Keys(f"guess-{number}")), key_ring)
    assert secrets.reads == 1

    for _ in range(10):
        clock.pass_by(10)
        assert_refused(path_of(keys=Keys("guess")), key_ring)
    assert secrets.reads <= 1 + 100 / 30


def test_known_key_ids_do_not_reload_the_secret():
    clock = FakeClock()
    key_ring = ring(clock=clock)
    for _ in range(20):
        clock.pass_by(10)
        verify(PATH, key_ring)
        assert_refused(f"/callbacks/{OTHER}/{TOKEN}", key_ring)

    assert key_ring._client.reads == 1  # noqa: SLF001 - our own fake
