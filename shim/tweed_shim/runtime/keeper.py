"""A sandbox as the shim holds it: its keeper's process id, the pipes to it, and what has been heard of it."""

import errno
import os
import time
from contextlib import suppress

from tweed_shim import idmap, trace
from tweed_shim.lean import json, signal
from tweed_shim.runtime import kernel, sandbox

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


class Keeper:
    """A started sandbox, to be used as a context: it is gone at the end, whatever happens.

    pid: the keeper's process id. pipes: our ends of its pipes by what they are for, to be closed by us. mapped:
    whether it has its ids. started: when the container did (`time.monotonic`), None until then. ended: whether the
    container has, so that what it wrote is being kept. status: its wait status, None until that is done. oom: whether
    it was ended for want of memory.
    """

    def __init__(self, ids: idmap.IdMap) -> None:
        self.pipes: dict[str, int] = {}
        self.mapped = ids.kind == "host"
        self.started: float | None = None
        self.ended = False
        self.status: int | None = None
        self.oom = False
        self._ids = ids
        self._rest = b""
        self._traced = time.monotonic()
        theirs = []
        try:
            for place in PLACES:
                read, write = os.pipe()
                self.pipes[place], end = (write, read) if place in WRITTEN else (read, write)
                theirs.append(end)
            self.pid = _start(theirs, userns=not self.mapped)
        except BaseException:
            self._close()
            raise
        finally:
            for fd in theirs:
                os.close(fd)

    def __enter__(self) -> "Keeper":
        """Use it for the length of a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Have all of it gone."""
        self._close()
        if self.status is None:
            self.kill()
        with suppress(ChildProcessError):  # whoever ignores SIGCHLD has nothing to wait for
            os.waitpid(self.pid, 0)

    def _close(self) -> None:
        while self.pipes:
            os.close(self.pipes.popitem()[1])

    def kill(self) -> None:
        """End all of the sandbox."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def command(self, text: str) -> None:
        """Tell the sandbox something; it may have ended already."""
        with suppress(BrokenPipeError):
            os.write(self.pipes["commands"], text.encode() + b"\n")

    def hear(self) -> bool:
        """Take what the sandbox reports; False when it has ended. Raises StartError where it could not start."""
        data = os.read(self.pipes["reports"], READ)
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
                self.status, self.oom = report["exited"], report["oom"]
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
            idmap.write_maps(self.pid, self._ids)
        except InterruptedError as error:
            raise StartError("killed", f"{error.filename} {error.strerror}") from error
        except OSError as error:
            raise StartError("ids", f"{error.filename or 'uid_map'}: {error.strerror}") from error
        self.mapped = True
        self.command("mapped")


def _start(fds: list[int], *, userns: bool) -> int:
    if not kernel.has_one_thread():
        return sandbox.spawn(fds, userns=userns)
    pid = os.fork()
    if pid:
        return pid
    try:
        sandbox.enter(fds, userns=userns)
    except OSError as error:
        report = {"failed": "namespace", "error": str(error), "errno": error.errno}
        os.write(fds[sandbox.REPORTS], json.dumps(report).encode() + b"\n")
    finally:
        os._exit(1)
