"""A child process, its pipes and other descriptors, owned by one object from their creation on.

A signal handler of the program that embeds the shim may raise: KeyboardInterrupt, Celery's soft time limit. Python
runs handlers between bytecodes, so also after `os.fork` has returned and before its result is assigned. Here
`list.extend` stores the results of such calls. It is C code, so no handler runs between the call and the storing.
A descriptor is a FileIO, which can be closed twice and closes itself when the last reference is gone.

That program may also ignore SIGCHLD, or wait for all children (`waitpid(-1)`). Then the status of a child is lost, and
its process id may soon be another process's. So a child is signalled and waited for by a pidfd, and a status that is
not known is None, never 0. This module is on the path of every run: it imports little.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from io import FileIO
from itertools import chain, repeat, starmap

from tweed_shim.base.lean import signal
from tweed_shim.base.lean.typing import Any

# What Python, the shim or the program that embeds it changed, and no program that is started may find changed.
INHERITED_SIGNALS = (
    *(signal.SIGINT, signal.SIGPIPE, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD),
    *(signal.SIGXCPU, signal.SIGXFSZ),
)
# What is wrong where a status is None, as a part of a sentence.
STATUS_TAKEN = (
    "the program that embeds the shim took its exit status away (it ignores SIGCHLD, or waits for children that are "
    "not its own)"
)


class Child:
    """The owner of a child process, of the pipes to it, and of what else is opened for it.

    `close` ends all of them, and can be called again.
    """

    _owner = 0

    def __init__(self) -> None:
        self._files: list[FileIO] = []
        self._pids: list[int] = []
        self._handles: list[FileIO] = []
        # A copy of this object in a forked process owns nothing.
        self._owner = os.getpid()

    def __enter__(self) -> "Child":
        """Use it for the length of a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def __del__(self) -> None:
        """Close what an exception has left open."""
        if self._owner:  # set last: an exception can come before it is whole, too
            self.close()

    @property
    def pid(self) -> int:
        """The process id of the child; 0 in the child itself."""
        return self._pids[0]

    @property
    def is_forked(self) -> bool:
        """Whether this is the child."""
        return self._pids == [0]

    def open(self, function: Any, *arguments: object) -> FileIO:
        """Call a function of C that returns a descriptor, and own it."""
        self._files.extend(map(FileIO, starmap(function, (arguments,)), ("rb",)))
        return self._files[-1]

    def pipe(self) -> tuple[FileIO, FileIO]:
        """Make a pipe; returns the end to read and the end to write."""
        self._files.extend(map(FileIO, chain.from_iterable(starmap(os.pipe, ((),))), ("rb", "wb")))
        return self._files[-2], self._files[-1]

    def fork(self) -> bool:
        """Fork; returns whether this is the child. Where an exception comes out of it, ask `is_forked`."""
        self._pids.extend(starmap(os.fork, ((),)))
        if self.pid:
            self._open_handle()
        return self.is_forked

    def spawn(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        files: Mapping[int, int] | None = None,
    ) -> None:
        """Start a program. files: descriptors of ours by the numbers that they have there.

        All signals are as a program expects them, and none is blocked.
        """
        import fcntl
        from functools import partial

        wanted = files or {}
        known = len(self._files)
        try:
            # Above all that the program is started with, so that none is overwritten before it is copied.
            least = max(wanted, default=0) + 1
            above = map(fcntl.fcntl, wanted.values(), repeat(fcntl.F_DUPFD_CLOEXEC), repeat(least))
            self._files.extend(map(FileIO, above, repeat("rb")))
            copies = self._files[known:]
            actions = [
                (os.POSIX_SPAWN_DUP2, copy.fileno(), number)
                for copy, number in zip(copies, wanted, strict=True)
            ]
            start = partial(
                os.posix_spawn,
                command[0],
                list(command),
                dict(environment),
                file_actions=actions,
                setsigmask=(),
                setsigdef=INHERITED_SIGNALS,
            )
            self._pids.extend(starmap(start, ((),)))
        finally:
            _close_all(self._files[known:])
        self._open_handle()

    def _open_handle(self) -> None:
        # Where there is no such process any more, the host program has reaped it, and there is nothing left to own.
        with suppress(ProcessLookupError):
            self._handles.extend(map(FileIO, map(os.pidfd_open, self._pids), ("rb",)))

    def signal(self, number: int) -> None:
        """Send the child a signal; it may have ended."""
        for handle in self._handles:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle.fileno(), number)

    def wait(self) -> int | None:
        """Wait until the child has ended. Returns its exit code, -N where signal N ended it, None if that is lost."""
        for handle in self._handles:
            with suppress(ChildProcessError):
                ended = os.waitid(os.P_PIDFD, handle.fileno(), os.WEXITED)
                if ended is not None:
                    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        return None

    def close(self) -> None:
        """Close all descriptors, kill the child and reap it."""
        _close_all(self._files)
        if os.getpid() != self._owner:
            return
        if not self._handles:
            for pid in filter(None, self._pids):  # the exception came before it had a handle
                with suppress(ProcessLookupError, ChildProcessError):
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
            self._pids.clear()
        elif not self._handles[0].closed:
            self.signal(signal.SIGKILL)
            self.wait()
            _close_all(self._handles)


def _close_all(files: Iterable[FileIO]) -> None:
    for file in files:
        file.close()
