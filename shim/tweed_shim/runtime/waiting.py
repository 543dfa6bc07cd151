"""How process 1 of a sandbox (sandbox.py) waits for the container, and passes on what the shim says."""

import os
import select

from tweed_shim.lean import json, signal
from tweed_shim.lean.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tweed_shim.runtime.kept_size import KeptSize

COMMANDS = 4  # the descriptor
READ = 64 << 10
LOOK_AGAIN = 50  # milliseconds
# The lines of /proc/PID/status that list the signals a process ignores, catches or blocks.
MASKS = ("SigIgn", "SigCgt", "SigBlk")
LOOKS = 3


class Commands:
    """Lines from the shim; its end of the pipe closes when it ends."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[str] = []

    def read(self) -> list[str]:
        """The lines that have arrived; waits for some. Ends this process when the shim is gone."""
        if not self._lines:
            data = os.read(COMMANDS, READ)
            if not data:
                os._exit(0)
            *lines, self._rest = (self._rest + data).split(b"\n")
            self._lines = [line.decode() for line in lines]
        taken, self._lines = self._lines, []
        return taken

    def line(self) -> str:
        """Wait for one line and leave those after it."""
        while not (lines := self.read()):
            pass
        self._lines = lines[1:]
        return lines[0]


def _is_taken(pid: int, number: int) -> bool:
    """Tell whether a process may act on a signal: it catches, ignores or blocks it, or is waiting for one.

    Where that cannot be known, the answer is yes: the process gets the signal, and its time to act on it.
    """
    try:
        # The process can fall asleep or wake between the two files: only what is seen again and again is believed.
        looks = [_look(pid) for _ in range(LOOKS)]
    except OSError:
        return True
    fields, _ = looks[-1]
    if any(int(fields[mask], 16) >> (number - 1) & 1 for mask in MASKS):
        return True
    # tini blocks its signals and takes them with sigtimedwait(2). Inside of that call the kernel shows them as not
    # blocked, and only the function that the process sleeps in tells. The kernel writes "0" for a process that runs,
    # and for one that may not be looked at.
    is_hidden = all(function == "0" and fields["State"].strip()[0] == "S" for fields, function in looks)
    return is_hidden or any(function.startswith("do_sigtimedwait") for _, function in looks)


def _look(pid: int) -> tuple[dict[str, str], str]:
    """Read a process's state and masks of signals, and the kernel's function that it sleeps in. Raises OSError."""
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        fields = dict(line.split(":", 1) for line in file if ":" in line)
    with open(f"/proc/{pid}/wchan", encoding="utf-8", errors="replace") as file:
        return fields, file.read()


def _is_runtime(pid: int, state: str) -> bool:
    """Whether a process is still the runtime, which was told to have its state in a directory, and not the program.

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


def wait(pid: int, state: str, commands: Commands, kept_size: "KeptSize") -> int:
    """Wait for the container `pid`, and return its wait status; each signal is passed on once.

    state: see _is_runtime. kept_size: ends the container where what it keeps becomes too large.
    """
    end = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(end, select.POLLIN)
    poll.register(COMMANDS, select.POLLIN)
    asked = 0
    while True:
        ready = {fd for fd, _ in poll.poll(LOOK_AGAIN if asked else kept_size.pause())}
        if end in ready:
            return _reap(pid)
        if COMMANDS in ready:
            for line in commands.read():
                asked = int(json.loads(line)["signal"])
        if kept_size.look():
            asked = signal.SIGKILL
        # What is meant for the program would be lost on the runtime.
        if asked and (asked == signal.SIGKILL or not _is_runtime(pid, state)):
            # The kernel spares the first process of a namespace what it does not act on (pid_namespaces(7)). What
            # would have ended any other process is made to end this one.
            os.kill(pid, asked if _is_taken(pid, asked) else signal.SIGKILL)
            asked = 0


def _reap(pid: int) -> int:
    """The wait status of the container, which has ended.

    It is a child of this process once whatever the runtime started it by has ended; with crun that can be later.
    """
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == pid:
            return status
