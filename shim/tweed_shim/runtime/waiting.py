"""How process 1 of a sandbox (sandbox.py) waits for the container, and passes on what the shim says."""

import os
import select

from tweed_shim.lean import json, signal

COMMANDS = 4  # the descriptor
READ = 64 << 10
LOOK_AGAIN = 50  # milliseconds


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


def _takes_default(pid: int, number: int) -> bool:
    """Whether a process neither catches nor ignores a signal.

    The kernel spares the first process of a namespace the signals it does not catch; what would have ended any
    other process is then made to end it.
    """
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            masks = [line.split() for line in file if line.startswith(("SigIgn:", "SigCgt:"))]
    except OSError:
        return False
    return not any(int(mask[1], 16) >> (number - 1) & 1 for mask in masks)


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


def wait(pid: int, state: str, commands: Commands) -> int:
    """Wait for the container `pid`, passing each signal on once; its wait status. state: see _is_runtime."""
    end = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(end, select.POLLIN)
    poll.register(COMMANDS, select.POLLIN)
    asked = 0
    while True:
        ready = {fd for fd, _ in poll.poll(LOOK_AGAIN if asked else None)}
        if end in ready:
            return _reap(pid)
        if COMMANDS in ready:
            for line in commands.read():
                asked = int(json.loads(line)["signal"])
        # What is meant for the program would be lost on the runtime.
        if asked and (asked == signal.SIGKILL or not _is_runtime(pid, state)):
            os.kill(pid, signal.SIGKILL if _takes_default(pid, asked) else asked)
            asked = 0


def _reap(pid: int) -> int:
    """The wait status of the container, which has ended.

    It is a child of this process once whatever the runtime started it by has ended; with crun that can be later.
    """
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == pid:
            return status
