"""How process 1 tells the runtime from the program that replaces it, and what a process does about a signal."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tweed_shim.runtime import reaper

# Takes the name that runc gives its part in the container, and waits.
NAMED = "import ctypes; ctypes.CDLL(None).prctl(15, b'{}', 0, 0, 0); print(flush=True); input()"


@pytest.fixture(params=["runc:[2:INIT]", "redis-backend"])
def named(request: pytest.FixtureRequest) -> Iterator[tuple[int, bool]]:
    """Yield a process with a name, and whether that is the runtime's."""
    name = request.param
    with subprocess.Popen(
        [sys.executable, "-c", NAMED.format(name)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid, name.startswith("runc:")
        process.communicate(b"\n")


def test_runc_is_recognised_by_the_name_of_its_process_in_the_container(named: tuple[int, bool]) -> None:
    pid, is_runtime = named
    assert reaper._is_runtime(pid, "/bundle/state") == is_runtime


# What a process does about SIGTERM before it writes a line; it ends when its stdin is closed.
WAYS = {
    "nothing": "",
    "catches": "signal.signal(signal.SIGTERM, lambda *_: None)",
    "ignores": "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "blocks": "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_process_handles_a_signal_that_it_catches_ignores_or_blocks(way: str) -> None:
    program = f"import signal; {WAYS[way]}\nprint(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        # /proc/PID/wchan names a function only once the process sleeps.
        while b"read" not in Path(f"/proc/{process.pid}/wchan").read_bytes():
            assert process.poll() is None
        assert reaper._handles(process.pid, signal.SIGTERM) == (way != "nothing")
        process.communicate(b"\n")


def test_a_process_that_cannot_be_looked_at_gets_the_signal() -> None:
    ended = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(ended, 0)
    assert reaper._handles(ended, signal.SIGTERM)
