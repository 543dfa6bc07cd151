"""The loop that runs beside a container: streams, signals, the clock, and what the sandbox reports."""

import os
import select
import time
from collections.abc import Callable

from tweed_shim.base import trace
from tweed_shim.base.lean import signal
from tweed_shim.base.lean.typing import TYPE_CHECKING
from tweed_shim.base.records import Record
from tweed_shim.runtime.request import SECOND_SIGNAL
from tweed_shim.runtime.sandbox_process import SandboxProcess
from tweed_shim.runtime.streams import Feed, Result, Shown, Sink

if TYPE_CHECKING:
    from tweed_shim.runtime.session import Session

GRACE = 10.0  # seconds that a container has to end after a signal, before it is killed
KILL_TIMEOUT = 2.0  # seconds that the sandbox has to report the end of a container that was killed
SLOW = 1.0  # seconds that the end of a container may take before the user gets a message about it
READ = 64 << 10
LONGEST_WAIT = 1e9  # milliseconds; poll(2) takes an int, so 2^31 at most


class Events(Record):
    """Callbacks of a run.

    idle: called once, when the sandbox has all that it needs and the loop would wait. slow_sync: called where the
    container has ended and it takes long to sync what it wrote. slow_end: called with a signal that the container was
    sent, where it does not end at once.
    """

    idle: Callable[[], None] = lambda: None
    slow_sync: Callable[[], None] = lambda: None
    slow_end: Callable[[int], None] = lambda _: None


class IoLoop:
    """Carries a container's streams and keeps its time, until it has ended and all that it wrote is read.

    sources: the pipes that the container writes, by descriptor, each with the sinks of its bytes. feeds: what is
    written to the sandbox and to the container. signals: a descriptor from which the numbers of signals to pass on are
    read, a byte each; None for no signals. session: the streams of an interactive run (session.py).

    Shutdown escalates, and each step has its time: the signal (`_end`), SIGKILL (`_kill`), killing the sandbox
    (`_kill_sandbox`), no longer waiting for it (`_abandon`).

    timed_out: whether the time of the run was up. sent: the signal that was to end the container, None for none.
    killed: why the shim killed the container, "" where it did not.
    """

    def __init__(
        self,
        sandbox: SandboxProcess,
        sources: dict[int, list[Sink]],
        feeds: list[Feed],
        *,
        signals: int | None = None,
        events: Events = Events(),  # noqa: B008 - a record is frozen
        session: "Session | None" = None,
    ) -> None:
        self.timed_out = False
        self.killed = ""
        self.sent: int | None = None
        self._sandbox = sandbox
        self._reports = sandbox.pipes["reports"].fileno()
        self._sources = sources
        self._shown = [sink for sinks in sources.values() for sink in sinks if isinstance(sink, Shown)]
        self._feeds = {feed.fd: feed for feed in feeds}
        self._signals = signals
        self._events = events
        self._session = session
        if session is not None and session.shown is not None:
            self._shown.append(session.shown)
        self._was_idle = False
        self._has_ended = False
        self._is_reporting = True
        self._is_signalled = False
        self._is_ending = False
        self._is_abandoned = False
        self._alarms: list[tuple[float, Callable[[], None]]] = []

    def run(self, timeout: float | None, stop_signal: int = signal.SIGTERM) -> None:
        """Run until the container has ended; send it `stop_signal` after `timeout` seconds. Raises StartError."""
        if timeout is not None:
            self._after(timeout, lambda: self._time_out(stop_signal))
        try:
            while not self._is_done():
                for fd in self._ready():
                    self._handle(fd)
                self._run_alarms()
        finally:
            for fd in list(self._feeds):
                self._close_feed(fd)

    def _is_done(self) -> bool:
        if self._is_abandoned:
            return True
        if self._is_reporting or self._sources or not (self._session is None or self._session.is_drained):
            return False
        if self._is_ending and self._alarms == [] and any(shown.waiting for shown in self._shown):
            # A reader of the shim's own streams that has stopped reading does not keep the shim from ending.
            self._after(KILL_TIMEOUT, self._abandon)
        return not any(shown.waiting for shown in self._shown)

    def _ready(self) -> list[int]:
        """Wait for an event or the next alarm; return the descriptors that are ready."""
        poll = self._poll()
        if not self._was_idle and self._sandbox.mapped and not poll.poll(0):
            self._was_idle = True
            self._events.idle()
        return [fd for fd, _ in poll.poll(self._milliseconds_to_alarm())]

    def _poll(self) -> select.poll:
        poll = select.poll()
        if self._is_reporting:
            poll.register(self._reports, select.POLLIN)
        if self._sandbox.started is not None:
            # Until then, the pipes may hold the runtime's own words about why it cannot start the container.
            for fd, sinks in self._sources.items():
                if self._is_ending or not any(isinstance(sink, Shown) and sink.full for sink in sinks):
                    poll.register(fd, select.POLLIN)
        for fd in self._feeds:
            poll.register(fd, select.POLLOUT)
        if self._signals is not None:
            poll.register(self._signals, select.POLLIN)
        for shown in self._shown:
            if shown.waiting:
                poll.register(shown.fd, select.POLLOUT)
        if self._session is not None:
            self._session.register(poll)
        return poll

    def _handle(self, fd: int) -> None:
        """Read from a descriptor that is ready, or write to it."""
        if fd == self._reports:
            self._read_reports()
        elif fd in self._sources:
            self._read_source(fd)
        elif fd in self._feeds:
            if not self._feeds[fd].feed_some():
                self._close_feed(fd)
        elif fd == self._signals:
            for number in os.read(fd, READ):
                self._take_signal(number)
        elif self._session is None or not self._session.handle(fd):
            for shown in self._shown:
                if shown.fd == fd and shown.waiting:
                    shown.flush_some()

    def _take_signal(self, number: int) -> None:
        if number != signal.SIGWINCH:
            self._end(number)
        elif self._session is not None:
            self._session.resize()

    def _read_reports(self) -> None:
        self._is_reporting = self._sandbox.read_reports()
        if self._sandbox.ended and not self._has_ended:
            self._has_ended = True
            # The time limit is the image's, and there is nothing left to kill.
            self._alarms.clear()
            self._after(SLOW, self._events.slow_sync)
        if self._sandbox.ended and not self._is_reporting:
            self._alarms.clear()
        if self._sandbox.started is None:
            if not self._is_reporting:
                self._sources.clear()  # no program was started that could have written to them
            return
        if self._session is not None and not self._session.is_started:
            self._session.start()
        if self.sent is not None:
            self._signal_once(self.sent)

    def _read_source(self, fd: int) -> None:
        data = os.read(fd, READ)
        if not data:
            del self._sources[fd]
            return
        for sink in self._sources[fd]:
            sink.write(data)
            if isinstance(sink, Result) and sink.overflow and not self._is_ending:
                self._kill("wrote more than its result may be")

    def _close_feed(self, fd: int) -> None:
        self._feeds.pop(fd).close()

    def _time_out(self, stop_signal: int) -> None:
        # A container that was sent a signal already has its grace time.
        if not self._is_ending:
            self.timed_out = True
            self._end(stop_signal)

    def _end(self, number: int) -> None:
        """Send the container a signal that is to end it; the second one kills it."""
        if self._is_ending:
            self._kill(SECOND_SIGNAL)
            return
        self._is_ending = True
        self.sent = number
        self._signal_once(number)
        sent_at = time.monotonic()
        self._after(SLOW, lambda: self._events.slow_end(number))
        self._after(GRACE, lambda: self._kill_after_grace(number, sent_at))

    def _kill_after_grace(self, number: int, sent_at: float) -> None:
        from signal import Signals

        reason = f"did not end within {GRACE:g} s of {Signals(number).name}"
        trace.add(f"{reason}; killed", sent_at, time.monotonic(), self._sandbox.pid)
        self._kill(reason)

    def _signal_once(self, number: int) -> None:
        """Pass the signal on, once. Before the container has started, no process is there to take it."""
        if self._sandbox.started is not None and not self._is_signalled:
            self._is_signalled = True
            self._sandbox.send_signal(number)

    def _kill(self, reason: str) -> None:
        self._is_ending = True
        self.killed = self.killed or reason
        self._sandbox.send_signal(signal.SIGKILL)
        self._alarms.clear()
        self._after(KILL_TIMEOUT, self._kill_sandbox)

    def _kill_sandbox(self) -> None:
        self._sandbox.kill()
        self._after(KILL_TIMEOUT, self._abandon)

    def _abandon(self) -> None:
        self._is_abandoned = True

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        self._alarms.append((time.monotonic() + seconds, action))

    def _milliseconds_to_alarm(self) -> float | None:
        """Return the time until the next alarm, in milliseconds; None where there is none."""
        if not self._alarms:
            return None
        return min(max(0.0, min(at for at, _ in self._alarms) - time.monotonic()) * 1000 + 1, LONGEST_WAIT)

    def _run_alarms(self) -> None:
        """Run the alarms whose time has come. An alarm may clear those after it."""
        now = time.monotonic()
        for alarm in [each for each in self._alarms if each[0] <= now]:
            if alarm in self._alarms:
                self._alarms.remove(alarm)
                alarm[1]()
