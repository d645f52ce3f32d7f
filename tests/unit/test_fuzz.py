"""The fuzzer finds undeclared errors and slow inputs, keeps them, and repeats a run by its seed."""

from random import Random

import pytest

from tools.fuzz import __main__ as fuzzer
from tools.fuzz import targets as fuzzed
from tools.fuzz.mutate import MAX_BYTES, mutated
from tools.fuzz.targets import Target

SAMPLES = [b'{"a": 1}', b'{"b": [true]}']


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the fuzzer on one target; return its exit status and the faults that it saved."""

    def run_target(take, declared=()):
        target = Target(take, SAMPLES, [b"null"], declared)
        monkeypatch.setattr(fuzzer, "targets", lambda _: {"target": target})
        monkeypatch.setattr(fuzzer, "FAULTS", tmp_path / "faults")
        status = fuzzer.main(["--seconds", "0.05", "--seed", "1"])
        return status, sorted((tmp_path / "faults").glob("*"))

    return run_target


def test_every_target_has_samples(tmp_path, monkeypatch):
    for made_by_ffmpeg in ("_media", "_signed"):
        monkeypatch.setattr(fuzzed, made_by_ffmpeg, lambda _: [])

    without = [name for name, target in fuzzed.targets(tmp_path).items() if not target.samples]

    assert without == []


def test_an_undeclared_error_is_saved_once_and_fails_the_run(run):
    status, [data, text] = run(lambda data: data[1_000_000])

    assert status == 1
    assert data.read_bytes() == SAMPLES[0]
    assert "IndexError" in text.read_text()


def test_a_declared_error_is_no_fault(run):
    assert run(lambda data: data[1_000_000], (IndexError,)) == (0, [])


def test_a_slow_input_is_a_fault(run, monkeypatch):
    monkeypatch.setattr(fuzzer, "MAX_CPU_SECONDS", -1.0)

    status, [data, _] = run(lambda _: None)

    assert (status, data.read_bytes()) == (1, SAMPLES[0])


def test_the_same_seed_makes_the_same_inputs():
    def inputs(seed):
        random = Random(seed)  # noqa: S311 - to be repeated
        return [mutated(SAMPLES[0] * 99, SAMPLES, [b"null"], random) for _ in range(500)]

    assert inputs(1) == inputs(1) != inputs(2)
    assert max(map(len, inputs(1))) <= MAX_BYTES
