"""The loop that runs beside a container: streams, signals, the clock, and what the sandbox reports."""

import json
import os
import select
import signal
import time
from contextlib import suppress

from tweed_shim import idmap, trace
from tweed_shim.runtime.streams import Feed, Result, Shown, Sink

GRACE = 10.0  # seconds between the wish that a container end and its end by force
LAST_WORDS = 2.0  # seconds that the sandbox has to report an end by force
READ = 64 << 10
# What the sandbox was busy with until each of the times that it reports.
STARTING = ("namespaces", "mounts", "runc")
ENDING = ("program", "keep")


class StartError(Exception):
    """The sandbox could not start the container; `stage` says in which of its steps."""

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage


class Running:
    """A sandbox on its way: its keeper, the pipes to it, and what has been heard of it."""

    def __init__(self, keeper: int, reports: int, commands: int, ids: idmap.IdMap) -> None:
        self.keeper = keeper
        self.reports = reports
        self.started: float | None = None
        self.status: int | None = None
        self.oom = False
        self._commands = commands
        self._ids = ids
        self._rest = b""
        self._traced = time.monotonic()

    def command(self, text: str) -> None:
        """Tell the sandbox something; it may have ended already."""
        with suppress(BrokenPipeError):
            os.write(self._commands, text.encode() + b"\n")

    def hear(self) -> bool:
        """Take what the sandbox reports; False when it has ended. Raises StartError where it could not start."""
        data = os.read(self.reports, READ)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            report = json.loads(line)
            if "userns" in report:
                self._map_ids()
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
            trace.add(name, self._traced, at, self.keeper)
            self._traced = at

    def _map_ids(self) -> None:
        try:
            idmap.write_maps(self.keeper, self._ids)
        except OSError as error:
            raise StartError("ids", f"{error.filename or 'uid_map'}: {error.strerror}") from error
        self.command("mapped")


class Carrier:
    """Carries a running container's streams and keeps its time, until it has ended and all it wrote is taken.

    sources: the pipes that the container writes, each with what takes its bytes. signals: a descriptor from which
    the numbers of signals to pass on are read, a byte each.
    """

    def __init__(
        self, running: Running, sources: dict[int, list[Sink]], feed: Feed | None, signals: int | None
    ) -> None:
        self.timed_out = False
        self.asked: int | None = None
        self._running = running
        self._sources = sources
        self._sinks = [sink for sinks in sources.values() for sink in sinks]
        self._feed = feed
        self._signals = signals
        self._reporting = True
        self._end_at: float | None = None
        self._kill_at: float | None = None
        self._give_up_at: float | None = None

    def carry(self, timeout: float | None) -> None:
        """Do so; the container is asked to end after `timeout` seconds. Raises StartError."""
        if timeout is not None:
            self._end_at = time.monotonic() + timeout
        while self._reporting or self._sources or self._still_showing():
            for fd, _ in self._poll().poll(self._patience()):
                self._attend(fd)
            self._watch_clock()

    def _still_showing(self) -> bool:
        # Whoever asked for the end does not wait for a reader that has stopped reading.
        return self._kill_at is None and any(shown.waiting for shown in self._shown())

    def _shown(self) -> list[Shown]:
        return [sink for sink in self._sinks if isinstance(sink, Shown)]

    def _poll(self) -> select.poll:
        poll = select.poll()
        if self._reporting:
            poll.register(self._running.reports, select.POLLIN)
        if self._running.started is not None:
            # Until then, what is in the pipes may be the runtime's own words about why it cannot start.
            for fd, sinks in self._sources.items():
                if not any(isinstance(sink, Shown) and sink.full for sink in sinks):
                    poll.register(fd, select.POLLIN)
        if self._feed is not None:
            poll.register(self._feed.fd, select.POLLOUT)
        if self._signals is not None:
            poll.register(self._signals, select.POLLIN)
        for shown in self._shown():
            if shown.waiting:
                poll.register(shown.fd, select.POLLOUT)
        return poll

    def _attend(self, fd: int) -> None:
        if fd == self._running.reports:
            self._reporting = self._running.hear()
        elif fd in self._sources:
            self._take(fd)
        elif self._feed is not None and fd == self._feed.fd:
            if not self._feed.feed_some():
                self._feed.close()
                self._feed = None
        elif fd == self._signals:
            for number in os.read(fd, READ):
                self._end(number)
        else:
            for shown in self._shown():
                if shown.fd == fd and shown.waiting:
                    shown.flush_some()

    def _take(self, fd: int) -> None:
        data = os.read(fd, READ)
        if not data:
            del self._sources[fd]
            return
        for sink in self._sources[fd]:
            sink.write(data)
            if isinstance(sink, Result) and sink.overflow:
                self._kill_at = time.monotonic()

    def _end(self, number: int) -> None:
        """Ask the container to end; asked a second time, or after the grace period, it is killed."""
        if self._kill_at is None:
            self.asked = number
            self._running.command(json.dumps({"signal": number}))
            self._kill_at = time.monotonic() + GRACE
        else:
            self._kill_at = time.monotonic()

    def _patience(self) -> float | None:
        """Milliseconds until the clock has to be looked at again."""
        times = [at for at in (self._end_at, self._kill_at, self._give_up_at) if at is not None]
        return max(0.0, min(times) - time.monotonic()) * 1000 + 1 if times else None

    def _watch_clock(self) -> None:
        now = time.monotonic()
        if self._end_at is not None and now >= self._end_at:
            self._end_at = None
            self.timed_out = True
            self._end(signal.SIGTERM)
        if self._kill_at is not None and now >= self._kill_at and self._give_up_at is None:
            self._running.command(json.dumps({"signal": int(signal.SIGKILL)}))
            self._give_up_at = now + LAST_WORDS
        if self._give_up_at is not None and now >= self._give_up_at:
            self._give_up_at = float("inf")
            os.kill(self._running.keeper, signal.SIGKILL)
