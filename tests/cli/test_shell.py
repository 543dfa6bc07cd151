"""`shell`: a shell in the sandbox of an operation, with a real terminal or with plain pipes, and nothing left of it."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from installed import Shim, done, processes, survivors
from layouts import Layer, LayoutWriter, directory
from pattern_images import PATTERN_METADATA
from script_images import METADATA, ScriptImage
from tweed_shim.errors import HostError
from tweed_shim.tweed import shells

USER = 1000
SECONDS = 30
SCRIPT = f"""case $1 in
metadata) {METADATA} ;;
configure) cat > "$OUT_CONFIG/config" ;;
setup) echo made > "$OUT_CONFIG/made" ;;
esac"""
PATTERN = f"""case $1 in
metadata) {PATTERN_METADATA} ;;
provision) echo secret > "$CREDSTORE/password" ;;
bind) echo "password: x" ;;
esac"""


@pytest.fixture
def image(script_image: ScriptImage) -> str:
    return script_image(SCRIPT, user=f"{USER}:{USER}", files={"etc/": directory(0o777)})


class Terminal:
    """The user's end of a terminal, and the process that runs in it."""

    def __init__(self, master: int, slave: int, process: "subprocess.Popen[bytes]") -> None:
        self.master = master
        self.slave = slave
        self.process = process
        self.seen = b""

    def wait_for(self, text: bytes) -> bytes:
        """Read until a text has come; return what came up to its end."""
        end = time.monotonic() + SECONDS
        while text not in self.seen:
            left = end - time.monotonic()
            assert left > 0, self.seen
            assert select.select([self.master], [], [], left)[0], self.seen
            self.seen += os.read(self.master, 4096)
        before, self.seen = self.seen.split(text, 1)
        return before + text

    def type(self, text: bytes) -> None:
        os.write(self.master, text)

    def run(self, line: str, expected: str) -> None:
        """Type a line and wait for a line of output, which is not in what is typed."""
        assert expected not in line
        self.type(f"{line}\n".encode())
        self.wait_for(expected.encode())

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def is_raw(self) -> bool:
        return not termios.tcgetattr(self.slave)[3] & termios.ICANON


@contextmanager
def terminal(shim: Shim, *args: str) -> Iterator[Terminal]:
    """Start the program in a new session with a terminal of 33 rows and 101 columns."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
    os.fchown(slave, shim.account.uid, shim.account.gid)

    process = subprocess.Popen(
        # It makes no process of its own, so signals go to the program.
        ["setsid", "--ctty", *shim.command(*args)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**shim.environment(), "TERM": "vt100"},
        cwd=os.path.dirname(shim.root),
        user=shim.account.uid,
        group=shim.account.gid,
        extra_groups=[],
    )
    try:
        yield Terminal(master, slave, process)
    finally:
        process.kill()
        process.wait()
        os.close(master)
        os.close(slave)


def is_clean(shim: Shim) -> bool:
    """Whether nothing is in the store's directory of work in progress."""
    return os.listdir(os.path.join(shim.root, "tmp")) == []


def test_a_terminal_has_sizes_signals_and_job_control(confined_shim: Shim, image: str) -> None:
    shim = confined_shim
    done(shim.run("pull", image))
    with terminal(shim, "shell", image, "configure") as tty:
        tty.run(
            "echo on=$(tty) $TERM $(id -u)",
            f"on=/dev/pts/0 vt100 {0 if shim.account.kind == 'single' else USER}",
        )
        assert tty.is_raw()
        tty.run("stty size | tr ' ' x", "33x101")
        tty.resize(20, 77)
        tty.run("until test \"$(stty size)\" = '20 77'; do :; done; echo is=$((1+1))", "is=2")
        # What is typed comes back before the program is there: only a program that sleeps shows that it was reached.
        tty.run("sh -c 'echo up=$((2+2)); exec sleep 1000'", "up=4")
        tty.type(b"\x03")
        tty.run("echo after=$?", "after=130")
        loop = "trap 'echo continued=$((4+4))' CONT; echo up=$((3+3)); while :; do sleep 1; done"
        tty.run(f'sh -c "{loop}"'.replace("$", "\\$"), "up=6")
        tty.type(b"\x1a")
        tty.wait_for(b"Stopped")
        tty.run("jobs | grep -c Stopped | sed s/^/jobs=/", "jobs=1")
        # The shell continues a job after it has given it the terminal.
        tty.run("fg", "continued=8")
        tty.type(b"\x03")
        tty.run("echo again=$?", "again=130")
        tty.type(b"exit 9\n")
        assert tty.process.wait(SECONDS) == 9
        assert not tty.is_raw()
    assert is_clean(shim)


def test_the_end_of_the_input_ends_the_shell(shim: Shim, image: str) -> None:
    done(shim.run("pull", image))
    with terminal(shim, "shell", image) as tty:
        tty.run("echo is=$((1+1))", "is=2")
        tty.type(b"\x04")
        assert tty.process.wait(SECONDS) == 0
        assert not tty.is_raw()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_the_terminal_is_usable(shim: Shim, image: str, number: int) -> None:
    done(shim.run("pull", image))
    with terminal(shim, "shell", image, "--", "sleep", "1000") as tty:
        while not tty.is_raw():
            assert tty.process.poll() is None
        tty.process.send_signal(number)
        assert tty.process.wait(SECONDS) == 128 + number
        assert not tty.is_raw()
    assert is_clean(shim)


def test_a_kill_leaves_no_process(shim: Shim, image: str) -> None:
    done(shim.run("pull", image))
    with terminal(shim, "shell", image) as tty:
        tty.run("echo is=$((1+1))", "is=2")
        tty.process.kill()
        tty.process.wait()
        assert survivors(processes(shim.root, shim.account)) == []
    done(shim.run("gc"))
    assert is_clean(shim)


def test_without_a_terminal_it_is_a_pipe(confined_shim: Shim, image: str) -> None:
    script = "tty; echo err >&2; cat; exit 7"
    result = confined_shim.run("shell", image, "-q", "--", "sh", "-c", script, stdin=b"more\n")
    assert (result.code, result.out, result.err) == (7, b"not a tty\nmore\n", b"err\n")


def test_much_data_goes_through_the_pipes(shim: Shim, image: str) -> None:
    data = os.urandom(1 << 20) * 3
    assert done(shim.run("shell", image, "--", "cat", stdin=data)).out == data
    assert done(shim.run("shell", image, "-q", "--", "head", "-c", "5", stdin=data)).out == data[:5]


def test_a_program_is_given_as_it_is(shim: Shim, image: str) -> None:
    out = done(shim.run("shell", image, "setup", "--", "printf", "%s.", "--tools", "-v", "a b")).out
    assert out == b"--tools.-v.a b."
    assert shim.run("shell", image, "--", "sh", "-c", "exit 200").code == 200
    result = shim.run("shell", image, "--", "no-such")
    assert result.code == 125
    assert b"--tools brings the host's busybox in" in result.err


def test_it_sees_the_state_and_writes_to_copies(confined_shim: Shim, image: str) -> None:
    shim = confined_shim
    done(shim.run("exec", image, "configure", "--config", "-", stdin=b'{"a": "secret"}'))
    script = b"""cat "$IN_CONFIG/config"; echo x > "$IN_CONFIG/new" 2>/dev/null || echo read-only
    echo y > "$OUT_CONFIG/y" && echo z > /etc/z && echo written"""
    out = done(shim.run("shell", image, "setup", stdin=script)).out
    assert out == b'{"a": "secret"}\nread-only\nwritten\n'
    # The setup has not been done.
    assert shim.run("environment").code == 125
    assert is_clean(shim)


def test_the_credstore_of_an_instance_is_a_copy(shim: Shim, script_image: ScriptImage) -> None:
    image = script_image(PATTERN, user=f"{USER}:{USER}")
    done(shim.run("exec", image, "provision", "--no-backend", "--inputs", "-", stdin=b'{"size": 5}'))
    script = b'cat "$CREDSTORE/password"; cat "$INPUTS"; rm "$CREDSTORE/password"'
    for _ in range(2):
        out = done(shim.run("shell", image, "deprovision", stdin=script)).out
        assert out.replace(b" ", b"") == b'secret\n{"size":5}\n'
    result = shim.run("shell", image, "bind", stdin=script)
    assert b"Read-only file system" in result.err
    assert result.code != 0


def test_another_image_does_not_see_the_state(shim: Shim, image: str, script_image: ScriptImage) -> None:
    done(shim.run("exec", image, "configure", "--config", "-", stdin=b'{"a": "secret"}'))
    result = shim.run("shell", script_image(SCRIPT), "setup", stdin=b"cat $IN_CONFIG/config")
    assert (result.code, result.out) == (125, b"")
    assert b"was configured by" in result.err


def test_metadata_is_the_default_and_has_no_network(shim: Shim, image: str) -> None:
    out = done(shim.run("shell", image, stdin=b"ls /sys/class/net; ls /tweed")).out
    assert out == b"lo\nhome\n"


def test_the_image_runs_as_before(shim: Shim, image: str) -> None:
    """What is written by hand is in no later run."""
    done(shim.run("shell", image, stdin=b"echo x > /etc/by-hand"))
    assert done(shim.run("shell", image, stdin=b"ls /etc/by-hand || echo none")).out == b"none\n"


def test_the_tools_are_for_images_without_a_shell(confined_shim: Shim, public_directory: str) -> None:
    shim = confined_shim
    path = os.path.join(public_directory, f"empty-{os.path.basename(os.path.dirname(shim.root))}")
    writer = LayoutWriter(path)
    writer.tag(
        "latest", writer.image([Layer({"data/file": "x"})], {"Entrypoint": ["/missing"], "User": f"{USER}"})
    )
    image = f"oci:{path}"
    result = shim.run("shell", image, stdin=b"echo")
    assert result.code == 125
    assert b"--tools" in result.err
    script = b"echo $PATH; ls /tweed/tools | grep -cx sh; touch /tweed/tools/x 2>/dev/null || echo read-only"
    out = done(shim.run("shell", image, "--tools", stdin=script)).out
    assert out.splitlines()[0].endswith(b":/tweed/tools")
    assert out.splitlines()[1:] == [b"1", b"read-only"]
    assert done(shim.run("shell", image, "--tools", "--", "ls", "/data")).out == b"file\n"
    assert is_clean(shim)


@pytest.mark.parametrize("program", [None, "/bin/ls"])
def test_a_host_without_a_static_busybox_is_told_what_to_install(
    program: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shells, "find_program", lambda _: program)
    with pytest.raises(HostError, match="apt install busybox-static"):
        shells.tools(str(tmp_path))
