"""A sandbox as the shim holds it: its keeper's process id, the pipes to it, and what has been heard of it."""

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
PLACES = ("stdin", "stdout", "stderr", "reports", "commands", "plan")
WRITTEN = ("stdin", "commands", "plan")
# What the sandbox was busy with until each of the times that it reports.
STARTING = ("namespaces", "mounts", "runc")
ENDING = ("program", "keep")


class StartError(Exception):
    """The sandbox could not start the container; `stage` says in which of its steps."""

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage


class SandboxProcess:
    """A started sandbox, to be used as a context: it is gone at the end, whatever happens.

    pid: the keeper's process id. pipes: our ends of its pipes by what they are for, to be closed by us. mapped:
    whether it has its ids. started: when the container did (`time.monotonic`), None until then. ended: whether the
    container has, so that what it wrote is being kept. status: its wait status, None until that is done. oom: whether
    it was ended for want of memory. full: what it keeps was too large.
    """

    def __init__(self, ids: userns.IdMap) -> None:
        self.pipes: dict[str, FileIO] = {}
        self.mapped = ids.kind == "host"
        self.started: float | None = None
        self.ended = False
        self.status: int | None = None
        self.oom = self.full = False
        self._ids = ids
        self._rest = b""
        self._traced = time.monotonic()
        self._child = Child()
        try:
            theirs = []
            for place in PLACES:
                read, write = self._child.pipe()
                self.pipes[place], end = (write, read) if place in WRITTEN else (read, write)
                theirs.append(end)
            _start(self._child, [end.fileno() for end in theirs], userns=not self.mapped)
            for end in theirs:
                end.close()
        except BaseException:
            self._child.close()
            raise
        self.pid = self._child.pid

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
        """End all of the sandbox."""
        self._child.signal(signal.SIGKILL)

    def command(self, text: str) -> None:
        """Tell the sandbox something; it may have ended already."""
        with suppress(BrokenPipeError):
            os.write(self.pipes["commands"].fileno(), text.encode() + b"\n")

    def hear(self) -> bool:
        """Take what the sandbox reports; False when it has ended. Raises StartError where it could not start."""
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
                self._trace(ENDING, report["times"])
            else:
                full = report["errno"] in (errno.EMFILE, errno.ENFILE)
                raise StartError("open files" if full else report["failed"], report["error"])
        return bool(data)

    def _trace(self, names: tuple[str, ...], times: list[float]) -> None:
        for name, at in zip(names, times, strict=True):
            trace.add(name, self._traced, at, self.pid)
            self._traced = at

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
        # Whatever comes, a copy of the program that embeds the shim does not go on here.
        if child.is_forked:
            os._exit(1)
