"""Start the sandbox of a run while the run before it goes on.

A sandbox takes 3 ms to make its namespaces, and 40 ms in a process with threads, which starts an interpreter for it.
Runs that follow each other need not wait for that.
"""

import select

from tweed_shim.host import userns
from tweed_shim.runtime.sandbox_process import SandboxProcess


class SandboxAhead:
    """The next sandbox of several runs in a row, by one thread: a context manager that ends one that was not taken.

    The kernel ends a sandbox together with the thread that started it, so the thread has to be that of the runs.
    runs: how many runs there will be; none is started beyond the last.
    """

    def __init__(self, ids: userns.IdMap, runs: int) -> None:
        self._ids = ids
        self._left = runs
        self._next: SandboxProcess | None = None

    def __enter__(self) -> "SandboxAhead":
        """Use it for the length of a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the sandbox that was not taken, if there is one."""
        if self._next is not None:
            self._next.__exit__()
            self._next = None

    def start(self) -> None:
        """Start the sandbox of the next run, unless it is started already or no run is left."""
        if self._next is None and self._left > 0:
            self._next = SandboxProcess(self._ids)

    def take(self) -> SandboxProcess:
        """Return the sandbox of the next run. The caller ends it."""
        self._left -= 1
        sandbox, self._next = self._next, None
        if sandbox is not None and _has_ended(sandbox):
            sandbox.__exit__()
            sandbox = None
        return sandbox or SandboxProcess(self._ids)


def _has_ended(sandbox: SandboxProcess) -> bool:
    """Tell whether a sandbox that was not used yet has been killed meanwhile: nobody writes to its pipe any more."""
    poll = select.poll()
    poll.register(sandbox.pipes["reports"], select.POLLIN)
    return any(event & select.POLLHUP for _, event in poll.poll(0))
