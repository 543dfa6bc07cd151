"""What the shim says: one message, in which a stranger's words stay words."""

import json

import pytest

from tweed_shim.cli.voice import Voice


def test_the_words_of_strangers_command_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    Voice().error("no action 'x': it has a\x1b]0;pwned\a\x9b31m, \u202eb\rtweed-shim: all is well")
    assert capfd.readouterr().err == (
        r"tweed-shim: no action 'x': it has a\x1b]0;pwned\x07\x9b31m, \u202eb\rtweed-shim: all is well" "\n"
    )


def test_a_further_line_is_never_taken_for_a_message(capfd: pytest.CaptureFixture[str]) -> None:
    Voice().warn("unresolved nodes:\n\tone\n\t\ttwo\x1b[0m\ntweed-shim: all is well")
    assert capfd.readouterr().err == (
        "tweed-shim: unresolved nodes:\n\tone\n\t\ttwo" r"\x1b[0m\ntweed-shim: all is well" "\n"
    )


def test_in_json_the_words_are_as_they_are(capfd: pytest.CaptureFixture[str]) -> None:
    said = "a\x1b[31m\x9b\u202e\nb"
    Voice(as_json=True).error(said)
    shown = capfd.readouterr().err
    assert shown.isascii()
    assert json.loads(shown)["message"] == said
