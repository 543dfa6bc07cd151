"""The loop that runs beside a container: streams, signals, the clock, and what the sandbox reports."""

import json
import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from tweed_shim import idmap, trace
from tweed_shim.runtime.streams import Feed, Result, Shown, Sink

GRACE = 10.0  # seconds between the wish that a container end and its end by force
LAST_WORDS = 2.0  # seconds that the sandbox has to report an end by force
READ = 64 << 10
LONGEST_WAIT = 1e9  # milliseconds
# What the sandbox was busy with until each of the times that it reports.
STARTING = ("namespaces", "mounts", "runc")
ENDING = ("program", "keep")


class StartError(Exception):
    """The sandbox could not start the container; `stage` says in which of its steps."""

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage


class Running:
    """A sandbox on its way: its keeper, the pipes to it, and what has been heard of it since it was `begun`."""

    def __init__(self, keeper: int, reports: int, commands: int, ids: idmap.IdMap, begun: float) -> None:
        self.keeper = keeper
        self.reports = reports
        self.mapped = ids.kind == "host"
        self.started: float | None = None
        self.status: int | None = None
        self.oom = False
        self._commands = commands
        self._ids = ids
        self._rest = b""
        self._traced = begun

    def command(self, text: str) -> None:
        """Tell the sandbox something; it may have ended already."""
        message = text.encode() + b"\n"
        with suppress(BrokenPipeError):
            while message:
                message = message[os.write(self._commands, message) :]

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
        self.mapped = True
        self.command("mapped")


class Carrier:
    """Carries a running container's streams and keeps its time, until it has ended and all it wrote is taken.

    sources: the pipes that the container writes, each with what takes its bytes. signals: a descriptor from which
    the numbers of signals to pass on are read, a byte each. meanwhile: called once, when there is nothing else to do.

    Whoever is asked to end is helped, step by step, each with its time: `_end`, `_kill`, `_destroy`, `_abandon`.
    """

    def __init__(
        self,
        running: Running,
        sources: dict[int, list[Sink]],
        feed: Feed | None,
        signals: int | None,
        meanwhile: Callable[[], None],
    ) -> None:
        self.timed_out = False
        self.asked: int | None = None
        self._running = running
        self._sources = sources
        self._shown = [sink for sinks in sources.values() for sink in sinks if isinstance(sink, Shown)]
        self._feed = feed
        self._signals = signals
        self._meanwhile: Callable[[], None] | None = meanwhile
        self._reporting = True
        self._told = False
        self._ending = False
        self._abandoned = False
        self._alarms: list[tuple[float, Callable[[], None]]] = []

    def carry(self, timeout: float | None) -> None:
        """Do so; the container is asked to end after `timeout` seconds. Raises StartError."""
        if timeout is not None:
            self._after(timeout, self._time_is_up)
        try:
            while not self._is_done():
                for fd in self._ready():
                    self._attend(fd)
                self._watch_clock()
        finally:
            self._close_feed()

    def _is_done(self) -> bool:
        if self._abandoned:
            return True
        if self._reporting or self._sources:
            return False
        if self._ending and self._alarms == [] and any(shown.waiting for shown in self._shown):
            # Its last words are for a reader that takes them, and nobody waits for one that has stopped reading.
            self._after(LAST_WORDS, self._abandon)
        return not any(shown.waiting for shown in self._shown)

    def _ready(self) -> list[int]:
        poll = self._poll()
        if self._meanwhile is not None and self._running.mapped and not poll.poll(0):
            work, self._meanwhile = self._meanwhile, None
            work()
        return [fd for fd, _ in poll.poll(self._patience())]

    def _poll(self) -> select.poll:
        poll = select.poll()
        if self._reporting:
            poll.register(self._running.reports, select.POLLIN)
        if self._running.started is not None:
            # Until then, what is in the pipes may be the runtime's own words about why it cannot start.
            for fd, sinks in self._sources.items():
                if self._ending or not any(isinstance(sink, Shown) and sink.full for sink in sinks):
                    poll.register(fd, select.POLLIN)
        if self._feed is not None:
            poll.register(self._feed.fd, select.POLLOUT)
        if self._signals is not None:
            poll.register(self._signals, select.POLLIN)
        for shown in self._shown:
            if shown.waiting:
                poll.register(shown.fd, select.POLLOUT)
        return poll

    def _attend(self, fd: int) -> None:
        if fd == self._running.reports:
            self._hear()
        elif fd in self._sources:
            self._take(fd)
        elif self._feed is not None and fd == self._feed.fd:
            if not self._feed.feed_some():
                self._close_feed()
        elif fd == self._signals:
            for number in os.read(fd, READ):
                self._end(number)
        else:
            for shown in self._shown:
                if shown.fd == fd and shown.waiting:
                    shown.flush_some()

    def _hear(self) -> None:
        self._reporting = self._running.hear()
        if self._running.started is None:
            if not self._reporting:
                self._sources.clear()  # nothing was started that could have written them
        elif self.asked is not None:
            self._tell(self.asked)

    def _take(self, fd: int) -> None:
        data = os.read(fd, READ)
        if not data:
            del self._sources[fd]
            return
        for sink in self._sources[fd]:
            sink.write(data)
            if isinstance(sink, Result) and sink.overflow and not self._ending:
                self._kill()

    def _close_feed(self) -> None:
        if self._feed is not None:
            self._feed.close()
            self._feed = None

    def _time_is_up(self) -> None:
        self.timed_out = True
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        """Ask the container to end; who asks a second time wants it killed."""
        if self._ending:
            self._kill()
            return
        self._ending = True
        self.asked = number
        self._tell(number)
        self._after(GRACE, self._kill)

    def _tell(self, number: int) -> None:
        # Before the container has started there is nobody yet to pass it on to.
        if self._running.started is not None and not self._told:
            self._told = True
            self._running.command(json.dumps({"signal": number}))

    def _kill(self) -> None:
        self._ending = True
        self._running.command(json.dumps({"signal": int(signal.SIGKILL)}))
        self._alarms.clear()
        self._after(LAST_WORDS, self._destroy)

    def _destroy(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._running.keeper, signal.SIGKILL)
        self._after(LAST_WORDS, self._abandon)

    def _abandon(self) -> None:
        self._abandoned = True

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        self._alarms.append((time.monotonic() + seconds, action))

    def _patience(self) -> float | None:
        """Milliseconds until the next alarm; poll(2) takes no more than 2^31."""
        if not self._alarms:
            return None
        return min(max(0.0, min(at for at, _ in self._alarms) - time.monotonic()) * 1000 + 1, LONGEST_WAIT)

    def _watch_clock(self) -> None:
        now = time.monotonic()
        for alarm in [each for each in self._alarms if each[0] <= now]:
            if alarm in self._alarms:
                self._alarms.remove(alarm)
                alarm[1]()
