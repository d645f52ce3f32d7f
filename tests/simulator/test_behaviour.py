import re
from dataclasses import fields
from pathlib import Path
from typing import get_args
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.simulator import behaviour as parameters
from local.simulator.behaviour import (
    Behaviour,
    BehaviourError,
    behaviour_of,
    non_defaults,
    parameter_types,
    parse_behaviour,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "provider-simulator.md"
WORDS = {
    name: get_args(hint)
    for name, hint in parameter_types().items()
    if get_args(hint) and isinstance(get_args(hint)[0], str)
}


def test_an_empty_query_is_the_default_behaviour():
    assert parse_behaviour("") == Behaviour()


@pytest.mark.parametrize(
    ("name", "word"), [(name, word) for name, words in WORDS.items() for word in words]
)
def test_every_value_of_every_parameter_is_accepted(name, word):
    assert getattr(parse_behaviour(f"{name}={word}"), name) == word


def test_numbers_are_parsed():
    behaviour = parse_behaviour("seconds=0.25&callback_retries=3&running_after=0&media_bytes=9")

    assert behaviour.seconds == 0.25
    assert behaviour.callback_retries == 3
    assert behaviour.running_after == 0
    assert behaviour.media_bytes == 9


def test_an_unknown_parameter_is_refused_with_the_list_of_all():
    with pytest.raises(BehaviourError) as refusal:
        parse_behaviour("calback=lost")

    assert refusal.value.parameter == "calback"
    assert "calback" in str(refusal.value)
    for field in fields(Behaviour):
        assert field.name in str(refusal.value)


@pytest.mark.parametrize("name", WORDS)
def test_an_unknown_value_is_refused_with_the_list_of_all(name):
    with pytest.raises(BehaviourError) as refusal:
        parse_behaviour(f"{name}=lots")

    assert refusal.value.parameter == name
    for word in WORDS[name]:
        assert word in str(refusal.value)


@pytest.mark.parametrize(
    "query",
    [
        "seconds=-1",
        "seconds=nan",
        "seconds=inf",
        "seconds=soon",
        "seconds=",
        "seconds=1e9",
        "callback_retries=1.5",
        "callback_retries=-1",
        "media_bytes=100000000000",
        "seconds=1&seconds=2",
        "feed=flat&feed_fault=stale_nested",
    ],
)
def test_an_invalid_value_is_refused(query):
    with pytest.raises(BehaviourError) as refusal:
        parse_behaviour(query)

    assert refusal.value.parameter in str(refusal.value)


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.sampled_from(sorted(WORDS)), st.integers(0, 30)))
def test_non_default_parameters_can_be_listed(numbers):
    chosen = {name: WORDS[name][number % len(WORDS[name])] for name, number in numbers.items()}
    if chosen.get("feed_fault") == "stale_nested":
        chosen["feed"] = "wrapped"

    behaviour = parse_behaviour(urlencode(chosen))

    assert {name: getattr(behaviour, name) for name in chosen} == chosen
    assert non_defaults(behaviour).items() <= chosen.items()


@settings(deadline=None, max_examples=50)
@given(st.text())
def test_any_query_is_parsed_or_refused(query):
    try:
        assert isinstance(parse_behaviour(query), Behaviour)
    except BehaviourError as refusal:
        assert str(refusal)  # noqa: PT017 (either outcome is right)


def test_the_query_of_another_video_is_ignored():
    default = Behaviour(seconds=7)

    video = "https://bucket.s3.amazonaws.com/performance.mp4?X-Amz-Signature=abc&seconds=1"

    assert behaviour_of(video, default) == default


def test_the_own_videos_query_overrides_the_default():
    default = Behaviour(seconds=7)

    behaviour = behaviour_of("http://x/inputs/performance.mp4?callback=lost", default)

    assert behaviour == Behaviour(seconds=7, callback="lost")


def test_every_parameter_and_value_is_documented():
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("|")]
    documented = set(re.findall(r"`([a-z0-9_]+)`", "\n".join(rows)))

    assert set(parameter_types()) <= documented
    for words in WORDS.values():
        assert set(words) <= documented


def test_the_simulator_serves_its_own_video(caller):
    video = caller.provider.url + parameters.OWN_VIDEO_PATH

    assert caller.order()[1]["video"].startswith(video)
