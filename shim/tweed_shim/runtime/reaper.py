"""Process 1 of a sandbox (sandbox.py) waits for the container, and passes on the signals that the shim sends."""

import os
import select

from tweed_shim.base.lean import json, signal
from tweed_shim.base.lean.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tweed_shim.runtime.disk_usage import DiskUsage

COMMANDS = 4  # the descriptor
READ = 64 << 10
RETRY = 50  # milliseconds between two attempts to pass a signal on
# The lines of /proc/PID/status that list the signals a process ignores, catches or blocks: proc(5).
MASKS = ("SigIgn", "SigCgt", "SigBlk")
SAMPLES = 3


class Commands:
    """Lines from the shim. Its end of the pipe is closed when the shim ends."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[str] = []

    def read(self) -> list[str]:
        """Return the lines that have arrived; wait where there are none. Ends this process when the shim is gone."""
        if not self._lines:
            data = os.read(COMMANDS, READ)
            if not data:
                os._exit(0)
            *complete, self._rest = (self._rest + data).split(b"\n")
            self._lines = [line.decode() for line in complete]
        lines, self._lines = self._lines, []
        return lines

    def line(self) -> str:
        """Wait for one line and return it. Lines after it stay for the next call."""
        while not (lines := self.read()):
            pass
        self._lines = lines[1:]
        return lines[0]


def _handles(pid: int, number: int) -> bool:
    """Tell whether a process may act on a signal: it catches, ignores or blocks it, or waits for one.

    The answer is yes where it cannot be known: the process then gets the signal, and its time to act on it.
    """
    try:
        # The process can fall asleep or wake between the two files, so one sample alone proves nothing.
        samples = [_signal_state(pid) for _ in range(SAMPLES)]
    except OSError:
        return True
    fields, _ = samples[-1]
    if any(int(fields[mask], 16) >> (number - 1) & 1 for mask in MASKS):
        return True
    # tini blocks its signals and takes them with sigtimedwait(2). Inside of that call the kernel shows them as not
    # blocked, and only the function that the process sleeps in tells. The kernel writes "0" for a process that runs,
    # and for one that may not be looked at.
    is_hidden = all(function == "0" and fields["State"].strip()[0] == "S" for fields, function in samples)
    return is_hidden or any(function.startswith("do_sigtimedwait") for _, function in samples)


def _signal_state(pid: int) -> tuple[dict[str, str], str]:
    """Read the fields of /proc/PID/status, and the kernel function that the process sleeps in. Raises OSError."""
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        fields = dict(line.split(":", 1) for line in file if ":" in line)
    with open(f"/proc/{pid}/wchan", encoding="utf-8", errors="replace") as file:
        return fields, file.read()


def _is_runtime(pid: int, state: str) -> bool:
    """Tell whether a process is still the runtime, called with `--root state`, and not yet the image's program.

    runc gives its part in the container a name, and crun keeps the command line that it was called by.
    """
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            name = file.read()
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read(READ).split(b"\0")
    except OSError:
        return False
    return name.startswith(b"runc:[") or words[1:3] == [b"--root", os.fsencode(state)]


def wait(pid: int, commands: Commands, usage: "DiskUsage", *, state: str) -> int:
    """Wait for the container `pid`, and return its wait status; each signal of the commands is passed on once.

    usage: measured meanwhile; the container is killed where it is exceeded. state: see _is_runtime.
    """
    pidfd = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(COMMANDS, select.POLLIN)
    pending = 0
    while True:
        ready = {fd for fd, _ in poll.poll(RETRY if pending else usage.pause())}
        if pidfd in ready:
            return _reap(pid)
        if COMMANDS in ready:
            for line in commands.read():
                pending = int(json.loads(line)["signal"])
        if usage.measure():
            pending = signal.SIGKILL
        # The runtime would take a signal that is meant for the program, and the program would never see it.
        if pending and (pending == signal.SIGKILL or not _is_runtime(pid, state)):
            # The kernel drops a signal for the first process of a namespace that has no handler for it
            # (pid_namespaces(7)). As another process the program would be ended by the signal, so it is killed.
            os.kill(pid, pending if _handles(pid, pending) else signal.SIGKILL)
            pending = 0


def _reap(pid: int) -> int:
    """Return the wait status of the container, which has ended.

    It becomes a child of this process when the process that started it has ended; with crun that can be later.
    """
    while True:
        child, status = os.waitpid(-1, 0)
        if child == pid:
            return status
