"""`make local`: what it refuses before it starts anything."""

import pytest

from local.stack import StackError, main, running_stack


def test_a_parameter_that_the_template_does_not_have_is_refused(tmp_path):
    with (
        pytest.raises(StackError, match=r"NoSuchParam.*MinPollSeconds"),
        running_stack({"NoSuchParam": "1", "MinPollSeconds": "1"}, tmp_path),
    ):
        pass

    assert list(tmp_path.iterdir()) == []


def test_the_refusal_ends_the_command(capsys):
    assert main(["up", "CallbackGraceSecond=5"]) == 1
    assert "CallbackGraceSeconds" in capsys.readouterr().err
