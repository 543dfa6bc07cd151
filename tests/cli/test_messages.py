"""The shim's own messages: one line each, without control characters."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from installed import PROJECT, SYSTEM_PATH
from tweed_shim.cli.messages import Messages


def test_control_characters_in_messages_are_escaped(capfd: pytest.CaptureFixture[str]) -> None:
    Messages().error("no action 'x': it has a\x1b]0;pwned\a\x9b31m, \u202eb\rtweed-shim: all is well")
    assert capfd.readouterr().err == (
        r"tweed-shim: no action 'x': it has a\x1b]0;pwned\x07\x9b31m, \u202eb\rtweed-shim: all is well" "\n"
    )


def test_further_lines_of_a_message_begin_with_a_tab(capfd: pytest.CaptureFixture[str]) -> None:
    Messages().warn("unresolved nodes:\n\tone\n\t\ttwo\x1b[0m\ntweed-shim: all is well")
    assert capfd.readouterr().err == (
        "tweed-shim: unresolved nodes:\n\tone\n\t\ttwo" r"\x1b[0m\ntweed-shim: all is well" "\n"
    )


def test_json_messages_keep_their_text(capfd: pytest.CaptureFixture[str]) -> None:
    output = "a\x1b[31m\x9b\u202e\nb"
    Messages(as_json=True).error(output)
    shown = capfd.readouterr().err
    assert shown.isascii()
    assert json.loads(shown)["message"] == output


def test_each_level_writes_its_messages(capfd: pytest.CaptureFixture[str]) -> None:
    for level, wanted in ((-1, ["e"]), (0, ["e", "w", "s"]), (1, ["e", "w", "s", "i"])):
        messages = Messages(level)
        messages.error("e")
        messages.warn("w")
        (messages.report or (lambda _: None))("s")
        messages.info("i")
        assert capfd.readouterr().err == "".join(f"tweed-shim: {each}\n" for each in wanted)


def test_a_full_stderr_does_not_change_the_exit_code(tmp_path: Path) -> None:
    shim = os.path.join(PROJECT, "shim")
    done = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -m tweed_shim pull oci:{tmp_path} 2>/dev/full'],
        env={"PATH": SYSTEM_PATH, "HOME": str(tmp_path), "PYTHONPATH": shim},
        capture_output=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (125, b"", b"")
