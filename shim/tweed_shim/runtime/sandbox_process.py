"""The parent's handle on a sandbox: its process id, its pipes, its last reported state."""

import errno
import os
import time
from contextlib import suppress
from io import FileIO

from tweed_shim.base import trace
from tweed_shim.base.lean import json, signal
from tweed_shim.host import kernel, userns
from tweed_shim.host.children import Child
from tweed_shim.runtime import sandbox

READ = 64 << 10
# The pipes by what they are for, in the order of the sandbox's descriptors; the shim writes to some of them.
PIPES = ("stdin", "stdout", "stderr", "reports", "commands", "plan")
WRITTEN = ("stdin", "commands", "plan")
# What the sandbox did until each of the times that it reports: the names of the trace's spans.
STARTING = ("namespaces", "mounts", "runc")
ENDING = ("program", "keep")


class StartError(Exception):
    """The sandbox could not start the container.

    stage: the step that failed. number: the errno, None where there is none. Both are as in the sandbox's report.
    is_late: whether the container had started.
    """

    is_late = False

    def __init__(self, stage: str, message: str, number: int | None = None) -> None:
        super().__init__(message)
        self.stage = stage
        self.number = number


class SandboxProcess:
    """The parent's handle on a started sandbox; a context manager that ends the sandbox, whatever happens.

    terminal: whether the pipe `stdout` is a socket, by which the container's terminal is handed over (session.py).
    pid: the sandbox process. pipes: our ends of its pipes by what they are for; the caller may close them. mapped:
    whether its ids are mapped. started: when the container started (`time.monotonic`), None until then. ended: whether
    the container has ended, so that what it wrote is being synced. status: its wait status, None until that is done.
    oom: whether the kernel killed it for want of memory. full: as in Outcome. keep_fault: why what the run wrote was
    not copied as its plan says, "" where it was.
    """

    def __init__(self, ids: userns.IdMap, *, terminal: bool = False) -> None:
        self.pipes: dict[str, FileIO] = {}
        self.mapped = ids.kind == "host"
        self.started: float | None = None
        self.ended = False
        self.status: int | None = None
        self.oom = False
        self.full = ""
        self.keep_fault = ""
        self._ids = ids
        self._rest = b""
        self._traced = time.monotonic()
        self._child = Child()
        try:
            theirs = []
            for name in PIPES:
                if terminal and name == "stdout":
                    read, write = self._socket_pair()
                else:
                    read, write = self._child.pipe()
                self.pipes[name], end = (write, read) if name in WRITTEN else (read, write)
                theirs.append(end)
            _start(self._child, [end.fileno() for end in theirs], userns=not self.mapped)
            for end in theirs:
                end.close()
        except BaseException:
            self._child.close()
            raise
        self.pid = self._child.pid

    def _socket_pair(self) -> tuple[FileIO, FileIO]:
        """Return two connected sockets: a terminal cannot be handed over by a pipe."""
        import socket

        one, other = socket.socketpair()
        with one, other:
            return self._child.open(os.dup, one.fileno()), self._child.open(os.dup, other.fileno())

    def __enter__(self) -> "SandboxProcess":
        """Use it for the length of a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the pipes, kill the sandbox and reap it."""
        for pipe in self.pipes.values():
            pipe.close()
        if self.status is not None:
            self._child.wait()
        self._child.close()

    def kill(self) -> None:
        """Kill the sandbox process, and with it all of the sandbox."""
        self._child.signal(signal.SIGKILL)

    def command(self, text: str) -> None:
        """Send a line to process 1 of the sandbox; it is lost where that has ended."""
        with suppress(BrokenPipeError):
            os.write(self.pipes["commands"].fileno(), text.encode() + b"\n")

    def send_signal(self, number: int) -> None:
        """Have process 1 of the sandbox pass a signal on to the container."""
        self.command(json.dumps({"signal": int(number)}))

    def read_reports(self) -> bool:
        """Read the reports that have arrived, and update the state; return False when the sandbox has ended.

        Raises StartError where the sandbox could not start the container.
        """
        data = os.read(self.pipes["reports"].fileno(), READ)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            report = json.loads(line)
            if "userns" in report:
                self._map_ids()
            elif "started" in report:
                self.started = time.monotonic()
                self._trace(STARTING, report["times"])
            elif "ended" in report:
                self.ended = True
            elif "exited" in report:
                self.status, self.oom, self.full = report["exited"], report["oom"], report["full"]
                self.keep_fault = report["unkept"]
                self._trace(ENDING, report["times"])
            else:
                number = report["errno"]
                is_limit = number in (errno.EMFILE, errno.ENFILE)
                raise StartError("open files" if is_limit else report["failed"], report["error"], number)
        return bool(data)

    def _trace(self, names: tuple[str, ...], times: list[float]) -> None:
        for name, time_ in zip(names, times, strict=True):
            trace.add(name, self._traced, time_, self.pid)
            self._traced = time_

    def _map_ids(self) -> None:
        try:
            userns.write_maps(self.pid, self._ids)
        except InterruptedError as error:
            raise StartError("killed", f"{error.filename} {error.strerror}") from error
        except OSError as error:
            raise StartError("ids", f"{error.filename or 'uid_map'}: {error.strerror}") from error
        self.mapped = True
        self.command("mapped")


def _start(child: Child, fds: list[int], *, userns: bool) -> None:
    """Start the sandbox process with `fds` as descriptors 0 to 5: by a fork, or as a program; see sandbox.py."""
    if not kernel.has_one_thread():
        environment = {"PATH": os.environ.get("PATH", os.defpath)}
        child.spawn(sandbox.command(userns=userns), environment, files=dict(enumerate(fds)))
        return
    try:
        if child.fork():
            sandbox.enter(fds, userns=userns)
    except OSError as error:
        if not child.is_forked:
            raise
        report = {"failed": "namespace", "error": str(error), "errno": error.errno}
        os.write(fds[sandbox.REPORTS], json.dumps(report).encode() + b"\n")
    finally:
        # Whatever is raised, the forked copy of the program that embeds the shim must not go on here.
        if child.is_forked:
            os._exit(1)
