"""How a sandbox is started; it then waits for its plan.

That can be done ahead, before it is known what is to run: the sandbox makes its namespaces while the command line is
still read and the image looked up. Therefore this module imports next to nothing.
"""

import os

# As in tweed_shim/__init__.py: true for type checkers.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from tweed_shim.idmap import Mapper

SIGKILL = 9  # whoever starts a sandbox ahead has not imported `signal`
PLACES = ("stdin", "stdout", "stderr", "reports", "commands", "plan")
WRITTEN = ("stdin", "commands", "plan")
# What both processes use of the standard library is imported once, before they part.
SHARED = ("contextlib", "json", "select", "signal", "typing")

_waiting: "Sandbox | None" = None


class Sandbox:
    """A started sandbox. pid: of its keeper. pipes: our ends, by what they are for; we close them.

    userns: whether it makes a user namespace. heard: what it has reported so far. mappers: who gives it its ids, None
    where that has not begun.
    """

    def __init__(self, *, userns: bool, ahead: bool = False) -> None:
        self.userns = userns
        self.heard = b""
        self.mappers: list[Mapper] | None = None
        self.pipes: dict[str, int] = {}
        theirs = []
        try:
            for place in PLACES:
                read, write = os.pipe()
                self.pipes[place], end = (write, read) if place in WRITTEN else (read, write)
                theirs.append(end)
            self.pid = _start(theirs, userns=userns, ahead=ahead)
        except BaseException:
            self.close()
            raise
        finally:
            for fd in theirs:
                os.close(fd)

    def close(self) -> None:
        """Close what is still open of the pipes."""
        while self.pipes:
            os.close(self.pipes.popitem()[1])

    def end(self, *, kill: bool = True) -> None:
        """Have all of it gone; kill: it will not end by itself."""
        self.close()
        try:
            if kill:
                os.kill(self.pid, SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass  # whoever ignores SIGCHLD has nothing to wait for


def _one_thread() -> bool:
    return len(os.listdir("/proc/self/task")) == 1


def _start(fds: list[int], *, userns: bool, ahead: bool) -> int:
    if not ahead:
        from tweed_shim.runtime import sandbox

        if not _one_thread():
            return sandbox.spawn(fds, userns=userns)
    pid = os.fork()
    if pid:
        return pid
    try:
        # Who starts it ahead leaves it to the child to import this.
        from tweed_shim.runtime import sandbox

        sandbox.enter(fds, userns=userns)
    finally:
        os._exit(1)


def ahead() -> None:
    """Start a sandbox for the first run of this process, which has one thread; `end_ahead` if there is none."""
    global _waiting
    try:
        for standard in (0, 1, 2):
            os.fstat(standard)
    except OSError:
        return  # a pipe would take the place of the one that is closed
    for shared in SHARED:
        __import__(shared)
    _waiting = Sandbox(userns=os.geteuid() != 0, ahead=True)


def waiting() -> Sandbox | None:
    """The sandbox that was started ahead, if nobody took it."""
    return _waiting


def take(*, userns: bool) -> Sandbox:
    """A started sandbox for the caller to end: the one that waits, or a new one."""
    global _waiting
    taken, _waiting = _waiting, None
    if taken is None:
        return Sandbox(userns=userns)
    return taken


def end_ahead() -> None:
    """End the sandbox that was started ahead, if nobody took it."""
    global _waiting
    if _waiting is not None:
        _waiting.end()
        _waiting = None
