"""The loop that runs beside a container: streams, signals, the clock, and what the sandbox reports."""

import os
import select
import time
from collections.abc import Callable

from tweed_shim.base import trace
from tweed_shim.base.lean import json, signal
from tweed_shim.runtime.sandbox_process import SandboxProcess
from tweed_shim.runtime.streams import Feed, Result, Shown, Sink

GRACE = 10.0  # seconds that a container has to end after a signal, before it is killed
LAST_WORDS = 2.0  # seconds that the sandbox has to report an end by force
READ = 64 << 10
UNNOTICED = 1.0  # seconds that what a container wrote may take to be kept before the user is told of it
LONGEST_WAIT = 1e9  # milliseconds


class IoLoop:
    """Carries a container's streams and keeps its time, until it has ended and all it wrote is taken.

    sources: the pipes that the container writes, each with what takes its bytes. feeds: what the sandbox and the
    container are told. signals: a descriptor from which
    the numbers of signals to pass on are read, a byte each. meanwhile: called once, when there is nothing else to do.
    keeping: called where the container has ended and it takes long to keep what it wrote. asking: called with the
    signal where the container has been sent one and does not end at once.

    Shutdown escalates, and each step has its time: the signal (`_end`), SIGKILL (`_kill`), killing the sandbox
    (`_destroy`), no longer waiting for it (`_abandon`). killed: why the shim killed the container, "" where it did not.
    """

    def __init__(
        self,
        keeper: SandboxProcess,
        sources: dict[int, list[Sink]],
        feeds: list[Feed],
        signals: int | None,
        meanwhile: Callable[[], None],
        keeping: Callable[[], None],
        asking: Callable[[int], None],
    ) -> None:
        self.timed_out = False
        self.killed = ""
        self.asked: int | None = None
        self._keeper = keeper
        self._reports = keeper.pipes["reports"].fileno()
        self._sources = sources
        self._shown = [sink for sinks in sources.values() for sink in sinks if isinstance(sink, Shown)]
        self._feeds = {feed.fd: feed for feed in feeds}
        self._signals = signals
        self._meanwhile: Callable[[], None] | None = meanwhile
        self._keeping: Callable[[], None] | None = keeping
        self._asking = asking
        self._reporting = True
        self._told = False
        self._ending = False
        self._abandoned = False
        self._alarms: list[tuple[float, Callable[[], None]]] = []

    def carry(self, timeout: float | None, stop_signal: int = signal.SIGTERM) -> None:
        """Run until the container has ended; signal it by `stop_signal` after `timeout` seconds. Raises StartError."""
        if timeout is not None:
            self._after(timeout, lambda: self._time_is_up(stop_signal))
        try:
            while not self._is_done():
                for fd in self._ready():
                    self._attend(fd)
                self._watch_clock()
        finally:
            for fd in list(self._feeds):
                self._close_feed(fd)

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
        if self._meanwhile is not None and self._keeper.mapped and not poll.poll(0):
            work, self._meanwhile = self._meanwhile, None
            work()
        return [fd for fd, _ in poll.poll(self._patience())]

    def _poll(self) -> select.poll:
        poll = select.poll()
        if self._reporting:
            poll.register(self._reports, select.POLLIN)
        if self._keeper.started is not None:
            # Until then, what is in the pipes may be the runtime's own words about why it cannot start.
            for fd, sinks in self._sources.items():
                if self._ending or not any(isinstance(sink, Shown) and sink.full for sink in sinks):
                    poll.register(fd, select.POLLIN)
        for fd in self._feeds:
            poll.register(fd, select.POLLOUT)
        if self._signals is not None:
            poll.register(self._signals, select.POLLIN)
        for shown in self._shown:
            if shown.waiting:
                poll.register(shown.fd, select.POLLOUT)
        return poll

    def _attend(self, fd: int) -> None:
        if fd == self._reports:
            self._hear()
        elif fd in self._sources:
            self._take(fd)
        elif fd in self._feeds:
            if not self._feeds[fd].feed_some():
                self._close_feed(fd)
        elif fd == self._signals:
            for number in os.read(fd, READ):
                self._end(number)
        else:
            for shown in self._shown:
                if shown.fd == fd and shown.waiting:
                    shown.flush_some()

    def _hear(self) -> None:
        self._reporting = self._keeper.hear()
        if self._keeper.ended and self._keeping is not None:
            # Its time is no longer counted, and nothing is left to be ended by force.
            self._alarms.clear()
            self._after(UNNOTICED, self._keeping)
            self._keeping = None
        if self._keeper.ended and not self._reporting:
            self._alarms.clear()
        if self._keeper.started is None:
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
                self._kill("wrote more than its result may be")

    def _close_feed(self, fd: int) -> None:
        self._feeds.pop(fd).close()

    def _time_is_up(self, stop_signal: int) -> None:
        # Who has been asked to end already has the grace period for it.
        if not self._ending:
            self.timed_out = True
            self._end(stop_signal)

    def _end(self, number: int) -> None:
        """Pass a signal on that is to end the container; a second one kills it."""
        if self._ending:
            self._kill("was sent a second signal")
            return
        self._ending = True
        self.asked = number
        self._tell(number)
        asked_at = time.monotonic()
        self._after(UNNOTICED, lambda: self._asking(number))
        self._after(GRACE, lambda: self._give_up(number, asked_at))

    def _give_up(self, number: int, asked_at: float) -> None:
        from signal import Signals

        reason = f"did not end within {GRACE:g} s of {Signals(number).name}"
        trace.add(f"{reason}; killed", asked_at, time.monotonic(), self._keeper.pid)
        self._kill(reason)

    def _tell(self, number: int) -> None:
        # Before the container has started there is nobody yet to pass it on to.
        if self._keeper.started is not None and not self._told:
            self._told = True
            self._keeper.command(json.dumps({"signal": number}))

    def _kill(self, reason: str) -> None:
        self._ending = True
        self.killed = self.killed or reason
        self._keeper.command(json.dumps({"signal": int(signal.SIGKILL)}))
        self._alarms.clear()
        self._after(LAST_WORDS, self._destroy)

    def _destroy(self) -> None:
        self._keeper.kill()
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
