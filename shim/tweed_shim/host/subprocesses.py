"""Run a program of the host, and know for certain how it ended.

Between the shim and the program stands one of the shim's own (host/userns_exec.py). It reports the program's status
over a pipe, because the program that embeds the shim can take the status of every child of its own away: see
host/children.py.
"""

import os
import select
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from tweed_shim.base.lean import signal
from tweed_shim.base.records import Record
from tweed_shim.errors import HostError
from tweed_shim.host import interpreter, userns_exec
from tweed_shim.host.children import STATUS_TAKEN, Child
from tweed_shim.host.userns_exec import PLAIN

LOOK_AGAIN = 20  # milliseconds
READ = 64 << 10
FAILED = 1
# What becomes of what a program writes to stderr.
DROPPED, INHERITED, OUTPUT = "dropped", "inherited", "output"


class Command(Record):
    """What to run, and how.

    arguments: a program, looked up on PATH, and its arguments. cwd: empty for the caller's. stdin: what it reads.
    stderr: DROPPED, INHERITED, or OUTPUT to have it with the output. kind: that of the ids (userns.IdMap), PLAIN for
    those of the caller. map_ids: called with the process that has made its user namespace. watch: called with the
    program's process id many times a second. timeout: seconds. most: bytes of output, after which it is killed.
    """

    arguments: Sequence[str]
    cwd: str = ""
    environ: Mapping[str, str] | None = None
    stdin: bytes = b""
    stderr: str = DROPPED
    kind: str = PLAIN
    map_ids: Callable[[int], None] | None = None
    watch: Callable[[int], None] | None = None
    timeout: float | None = None
    most: int | None = None


class Ended(Record):
    """How a program ended: its exit code (-N where signal N ended it), and what it wrote.

    begun: whether it was begun at all; else the output says why it was not.
    """

    code: int
    output: bytes
    begun: bool = True


class Supervised:
    """A program that runs below host/userns_exec.py, with the status that this has reported.

    ready: whether it waits for `let_go`. pid: of the program, None until it has one.
    """

    def __init__(self, child: Child) -> None:
        self._child = child
        self._report, self._their_report = child.pipe()
        self._their_go, self._go = child.pipe()
        self._name = ""
        self._rest = b""
        self._status: int | None = None
        self.ready = False
        self.pid: int | None = None
        self.report = self._report.fileno()

    def start(self, command: Command, files: Mapping[int, int]) -> None:
        """Start it. files: the program's descriptors, as for Child.spawn."""
        self._name = command.arguments[0]
        script = os.path.join(interpreter.source_directory(), "tweed_shim", "host", "userns_exec.py")
        self._child.spawn(
            [interpreter.find(), "-I", "-S", script, command.kind, command.cwd, *command.arguments],
            interpreter.environment(os.environ if command.environ is None else command.environ),
            files={
                **files,
                userns_exec.REPORT: self._their_report.fileno(),
                userns_exec.GO: self._their_go.fileno(),
            },
        )
        self._their_report.close()
        self._their_go.close()

    def let_go(self) -> None:
        """Let the program begin: it has its ids."""
        with suppress(BrokenPipeError):
            self._go.write(b".")
        self._go.close()

    def hear(self) -> bool:
        """Take what is reported; waits for some. False at the end. Raises OSError where it cannot be executed."""
        data = os.read(self.report, READ)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            word, _, number = line.decode().partition(" ")
            if word == "ready":
                self.ready = True
            elif word == "pid":
                self.pid = int(number)
            elif word == "failed":
                raise OSError(int(number), os.strerror(int(number)), self._name)
            else:
                self._status = int(number)
        return bool(data)

    def end(self) -> None:
        """Kill the program, and wait until it is gone and writes nothing more."""
        self._child.signal(signal.SIGTERM)
        if self._their_report.closed:
            # What could not be executed is gone already.
            with suppress(OSError):
                while self.hear():
                    pass

    def code(self) -> int | None:
        """Return the exit code (-N where signal N ended it); None after a failure that host/userns_exec.py reported.

        Raises HostError where it is unknown.
        """
        while self._status is None and self.hear():
            pass
        if self._status is not None:
            return os.waitstatus_to_exitcode(self._status)
        code = self._child.wait()
        if code is not None and code < 0:
            return code
        if self.pid is None and code != 0:
            return None
        raise HostError(f"how {self._name} ended is not known: {STATUS_TAKEN}; run it again")


def run(command: Command) -> Ended:
    """Run a program to its end. It is killed when the calling thread ends before it.

    What `map_ids` and `watch` raise ends it. Raises OSError where it cannot be executed, TimeoutError where its time is
    up, and HostError where its exit status is unknown, or no interpreter for host/userns_exec.py is found.
    """
    with Child() as child:
        supervised = Supervised(child)
        try:
            output = _carry(child, supervised, command)
        except BaseException:
            supervised.end()
            raise
        code = supervised.code()
        if code is None and not output:
            raise HostError(f"how {command.arguments[0]} ended is not known: {STATUS_TAKEN}; run it again")
        return Ended(FAILED if code is None else code, output, supervised.ready)


def _start(child: Child, supervised: Supervised, command: Command) -> int:
    """Start a program; returns the descriptor that its output is read from."""
    output, theirs = child.pipe()
    null = child.open(os.open, os.devnull, os.O_RDWR | os.O_CLOEXEC)
    # A file, because writing to a pipe could block until its reader reads.
    stdin = child.open(os.memfd_create, "stdin")
    rest = memoryview(command.stdin)
    while rest:
        rest = rest[os.write(stdin.fileno(), rest) :]
    os.lseek(stdin.fileno(), 0, os.SEEK_SET)
    stderr = {OUTPUT: {2: theirs.fileno()}, DROPPED: {2: null.fileno()}, INHERITED: {}}[command.stderr]
    supervised.start(command, {0: stdin.fileno(), 1: theirs.fileno(), **stderr})
    for file in (theirs, null, stdin):
        file.close()
    return output.fileno()


def _carry(child: Child, supervised: Supervised, command: Command) -> bytes:
    """Start a program, let it begin and take all that it writes."""
    source = _start(child, supervised, command)
    deadline = None if command.timeout is None else time.monotonic() + command.timeout
    output = bytearray()
    poll = select.poll()
    for fd in (source, supervised.report):
        poll.register(fd, select.POLLIN)
    while True:
        ready = [fd for fd, _ in poll.poll(_patience(command, deadline))]
        if command.watch is not None and supervised.pid is not None:
            command.watch(supervised.pid)
        if supervised.report in ready and not _hear(child, supervised, command):
            poll.unregister(supervised.report)
        if source in ready:
            data = os.read(source, READ)
            output += data
            if not data:
                return bytes(output)
        if deadline is not None and time.monotonic() >= deadline:
            raise TimeoutError(110, "did not end in time", command.arguments[0])
        if command.most is not None and len(output) > command.most:
            supervised.end()
            return bytes(output)


def _hear(child: Child, supervised: Supervised, command: Command) -> bool:
    """Take what is reported, and let the program begin when it is ready; False at the end of the report."""
    was_ready = supervised.ready
    going_on = supervised.hear()
    if supervised.ready and not was_ready:
        if command.map_ids is not None:
            command.map_ids(child.pid)
        supervised.let_go()
    return going_on


def _patience(command: Command, deadline: float | None) -> float | None:
    """Milliseconds to wait for something to happen."""
    if command.watch is not None:
        return LOOK_AGAIN
    return None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000 + 1
