"""The signal that an image names to be asked to end by."""

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from installed import Shim
from script_images import ScriptImage
from tweed_shim.image import config

SCRIPT = """
trap 'echo got INT >&2; exit 3' INT
trap 'echo got QUIT >&2; exit 3' QUIT
trap 'echo got TERM >&2; exit 3' TERM
echo ready >&2
while :; do sleep 0.05; done
"""


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("SIGTERM", 15), ("TERM", 15), ("sigquit", 3), ("quit", 3), ("3", 3), ("SIG9", 9), ("WINCH", 28),
        ("SIGRTMIN", 34), ("SIGRTMIN+3", 37), ("rtmin+30", 64), ("RTMAX-1", 63), ("64", 64),
        ("", None), ("0", None), ("65", None), ("-1", None), ("SIGRTMIN+31", None), ("RTMAX-31", None),
        ("SIGNOPE", None), ("SIG_IGN", None), ("SIG_BLOCK", None), ("SIGTERM\\0", None), ("RTMIN+", None),
        ("RTMIN+x", None), ("SIG", None),
    ],
)  # fmt: skip
def test_a_signal_is_named_as_docker_takes_it(text: str, number: int | None) -> None:
    assert config.stop_signal(text) == number


@given(st.text(max_size=20))
def test_every_text_is_a_signal_or_none(text: str) -> None:
    number = config.stop_signal(text)
    assert number is None or 1 <= number <= signal.SIGRTMAX


@pytest.mark.parametrize(("named", "got"), [("SIGQUIT", "QUIT"), ("2", "INT"), ("", "TERM")])
def test_an_image_is_asked_by_its_own_signal_when_its_time_is_up(
    shim: Shim, script_image: ScriptImage, named: str, got: str
) -> None:
    done = shim.run("exec", script_image(SCRIPT, stop_signal=named), "metadata", "--timeout", "0.5")
    assert done.code == 124, done
    assert f"got {got}" in done.err.decode()


def test_a_signal_of_the_user_is_passed_on_as_it_is(shim: Shim, script_image: ScriptImage) -> None:
    with shim.start("exec", script_image(SCRIPT, stop_signal="SIGQUIT"), "metadata") as process:
        assert process.stderr is not None
        seen = b""
        while b"ready" not in seen:
            line = process.stderr.readline()
            assert line, seen
            seen += line
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert b"got INT" in err
    assert process.returncode == 128 + signal.SIGINT


def test_an_image_that_names_no_signal_is_refused(shim: Shim, script_image: ScriptImage) -> None:
    done = shim.run("exec", script_image("exit 0", stop_signal="SIGNOPE"), "metadata")
    assert (done.code, done.out) == (125, b"")
    [line] = done.err.decode().splitlines()
    assert "StopSignal 'SIGNOPE' is no signal" in line
