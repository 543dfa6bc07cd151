"""A sandbox while the shim works with it: what it is told, and what has been heard of it."""

import json
import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tweed_shim import idmap, trace
from tweed_shim.runtime import start

READ = 64 << 10
WANTS_IDS = b'{"userns": true}\n'
# What the sandbox was busy with until each of the times that it reports.
STARTING = ("namespaces", "mounts", "runc")
ENDING = ("program", "keep")


class StartError(Exception):
    """The sandbox could not start the container; `stage` says in which of its steps."""

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage


@contextmanager
def _mapping() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StartError("ids", f"{error.filename or 'uid_map'}: {error.strerror}") from error


def map_ahead(ids: idmap.IdMap) -> None:
    """Begin to give its ids to the sandbox that was started ahead, if there is one, while the caller goes on."""
    sandbox = start.waiting()
    if sandbox is None or not sandbox.userns:
        return
    poll = select.poll()
    poll.register(sandbox.pipes["reports"], select.POLLIN)
    if poll.poll(0):
        sandbox.heard = os.read(sandbox.pipes["reports"], len(WANTS_IDS))
        if sandbox.heard == WANTS_IDS:
            with suppress(OSError):  # whoever takes it tries again, and tells of it
                sandbox.mappers = idmap.begin_maps(sandbox.pid, ids)


class Keeper:
    """The keeper of a started sandbox.

    started: when the container did (`time.monotonic`), None until then. status: the container's wait status, None
    until it has ended. oom: whether it was ended for want of memory.
    """

    def __init__(self, sandbox: start.Sandbox, ids: idmap.IdMap) -> None:
        self.started: float | None = None
        self.status: int | None = None
        self.oom = False
        self.mapped = not sandbox.userns
        self.pid = sandbox.pid
        self.reports = sandbox.pipes["reports"]
        self._commands = sandbox.pipes["commands"]
        self._ids = ids
        self._rest = sandbox.heard
        self._traced = time.monotonic()
        if self._rest == WANTS_IDS:
            self._rest = b""
            self._map_ids(sandbox.mappers)

    def command(self, text: str) -> None:
        """Tell the sandbox something; it may have ended already."""
        with suppress(BrokenPipeError):
            os.write(self._commands, text.encode() + b"\n")

    def kill(self) -> None:
        """End all of the sandbox."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def hear(self) -> bool:
        """Take what the sandbox reports; False when it has ended. Raises StartError where it could not start."""
        data = os.read(self.reports, READ)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            report = json.loads(line)
            if "userns" in report:
                self._map_ids(None)
            elif "started" in report:
                self.started = time.monotonic()
                self._trace(STARTING, report["times"])
            elif "exited" in report:
                self.status, self.oom = report["exited"], report["oom"]
                self._trace(ENDING, report["times"])
            else:
                raise StartError(report["failed"], report["error"])
        return bool(data)

    def _trace(self, names: tuple[str, ...], times: list[float]) -> None:
        for name, at in zip(names, times, strict=True):
            trace.add(name, self._traced, at, self.pid)
            self._traced = at

    def _map_ids(self, begun: list[idmap.Mapper] | None) -> None:
        with _mapping():
            idmap.finish_maps(idmap.begin_maps(self.pid, self._ids) if begun is None else begun)
        self.mapped = True
        self.command("mapped")
