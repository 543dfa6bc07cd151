"""Commands whose stdin or stdout is a terminal, or a pipe with O_NONBLOCK."""

import array
import fcntl
import json
import os
import pty
import re
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from installed import PROJECT, SYSTEM_PATH
from servers import RegistryServer

PROGRAM = (sys.executable, "-m", "tweed_shim")


def environment(home: Path, **more: str) -> dict[str, str]:
    shim = os.path.join(PROJECT, "shim")
    return {"PATH": SYSTEM_PATH, "HOME": str(home), "LANG": "C.UTF-8", "PYTHONPATH": shim, **more}


class Terminal(NamedTuple):
    """The program with a terminal for its stdin, stdout and stderr, seen from the user's side."""

    process: subprocess.Popen[bytes]
    fd: int

    def read_until(self, text: str) -> str:
        seen = b""
        while text.encode() not in seen:
            seen += os.read(self.fd, 1024)
        return seen.decode()

    def type(self, line: str) -> None:
        os.write(self.fd, f"{line}\n".encode())

    def rest(self) -> str:
        """All that it says until it ends."""
        seen = b""
        try:
            while data := os.read(self.fd, 1024):
                seen += data
        except OSError:
            pass  # EIO: nobody has the other side any more, pty(7)
        self.process.wait()
        return seen.decode().replace("\r\n", "\n")


@contextmanager
def on_terminal(home: Path, *words: str, env: Mapping[str, str] | None = None) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", *PROGRAM, *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(home, **(env or {})),
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.mark.parametrize("asked", [True, False], ids=["name asked for", "name given"])
def test_a_login_asks_for_the_password_and_does_not_show_it(
    registry_with_password: RegistryServer, tmp_path: Path, asked: bool
) -> None:
    server = registry_with_password
    words = ["login", server.host, "--insecure", *([] if asked else ["-u", server.user])]
    with on_terminal(tmp_path, *words) as terminal:
        if asked:
            terminal.read_until("Username: ")
            terminal.type(server.user)
        terminal.read_until("Password: ")
        terminal.type(server.password)
        output = terminal.rest()
        assert (terminal.process.returncode, "logged in to" in output) == (0, True), output
    assert server.password not in output
    kept = json.loads((tmp_path / ".docker" / "config.json").read_text())
    assert list(kept["auths"]) == [server.host]


def test_a_login_without_a_terminal_says_how_it_is_done(tmp_path: Path) -> None:
    for words, message in (
        (["login", "localhost:1"], "use --username NAME --password-stdin"),
        (
            ["login", "localhost:1", "--password-stdin"],
            "--password-stdin needs a user name; add --username NAME",
        ),
    ):
        done = subprocess.run(
            [*PROGRAM, *words], stdin=subprocess.DEVNULL, capture_output=True, env=environment(tmp_path)
        )
        assert (done.returncode, done.stdout) == (2, b"")
        assert message in done.stderr.decode()


def test_a_configuration_is_not_waited_for_on_a_terminal(tmp_path: Path) -> None:
    with on_terminal(tmp_path, "exec", f"oci:{tmp_path}/none", "configure") as terminal:
        assert "configure needs a configuration: name a file with --config" in terminal.rest()
        assert terminal.process.returncode == 125


def test_differences_have_colours_on_a_terminal_alone(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(f"x: {name}\n")
    words = ("spiff", "diff", f"{tmp_path}/a", f"{tmp_path}/b")
    with on_terminal(tmp_path, *words) as terminal:
        assert re.findall("\x1b\\[(\\d+)m", terminal.rest()) == ["31", "0", "32", "0"]
    with on_terminal(tmp_path, *words, env={"NO_COLOR": "1"}) as terminal:
        assert "\x1b" not in terminal.rest()


@pytest.mark.parametrize("columns", [60, 130])
def test_help_is_as_wide_as_the_terminal(tmp_path: Path, columns: int) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, array.array("H", [24, columns, 0, 0]))
    words = [*PROGRAM, "pull", "--help"]
    with subprocess.Popen(words, stdout=theirs, env=environment(tmp_path)) as process:
        os.close(theirs)
        # The examples at the end are command lines, which are not broken.
        shown = Terminal(process, ours).rest().partition("examples:")[0]
        widest = max(map(len, shown.splitlines()))
    os.close(ours)
    assert columns - 20 < widest < columns


def test_a_stdout_that_does_not_wait_gets_everything(tmp_path: Path) -> None:
    text = {f"key{number:06}": "x" * 100 for number in range(4000)}
    (tmp_path / "big.json").write_text(json.dumps(text))
    read, write = os.pipe()
    os.set_blocking(write, False)
    command = [*PROGRAM, "spiff", "convert", "--json", f"{tmp_path}/big.json"]
    with subprocess.Popen(command, stdout=write, env=environment(tmp_path)) as process:
        os.close(write)
        size, waiting = fcntl.fcntl(read, fcntl.F_GETPIPE_SZ), array.array("i", [0])
        while waiting[0] < size and process.poll() is None:
            fcntl.ioctl(read, termios.FIONREAD, waiting)
        with open(read, "rb") as reader:
            assert json.loads(reader.read()) == text
        assert process.wait() == 0
