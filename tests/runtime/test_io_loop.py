"""The loop beside a container, with pipes and a stand-in for the sandbox: no container, and no root."""

import os
import signal
from collections.abc import Callable, Iterator
from io import FileIO
from typing import Any

import pytest

from tweed_shim.runtime import io_loop
from tweed_shim.runtime.io_loop import Events, IoLoop
from tweed_shim.runtime.sandbox_process import StartError
from tweed_shim.runtime.streams import Feed, Result

Reaction = Callable[["StandIn"], None]


class StandIn:
    """Has the attributes of a SandboxProcess that the loop uses. `react` maps the signals that it is sent to reactions.

    output: the descriptor that the container writes. Signals are noted in `signals`, and 0 stands for `kill`.
    """

    def __init__(self, react: dict[int, Reaction]) -> None:
        self.pid = os.getpid()
        self.mapped = True
        self.started: float | None = None
        self.ended = False
        self.error: StartError | None = None
        self.signals: list[int] = []
        self.pipes: dict[str, FileIO] = {}
        self._react = react
        for name in ("reports", "stdout"):
            read, write = os.pipe()
            self.pipes[name], self.pipes[f"{name} of the sandbox"] = FileIO(read, "rb"), FileIO(write, "wb")
        self.output = self.pipes["stdout of the sandbox"]
        self._reports = self.pipes["reports of the sandbox"]

    def report(self, **state: Any) -> None:
        """Change the state, as a report of a sandbox does, and wake the loop."""
        for name, value in state.items():
            setattr(self, name, value)
        self._reports.write(b"\n")

    def end(self) -> None:
        """End the container and the sandbox."""
        self.report(ended=True)
        self.output.close()
        self._reports.close()

    def read_reports(self) -> bool:
        data = os.read(self.pipes["reports"].fileno(), 1 << 16)
        if self.error:
            raise self.error
        return bool(data)

    def send_signal(self, number: int) -> None:
        self.signals.append(int(number))
        if reaction := self._react.get(int(number)):
            reaction(self)

    def kill(self) -> None:
        self.signals.append(0)
        if reaction := self._react.get(0):
            reaction(self)


Make = Callable[..., StandIn]


@pytest.fixture
def stand_in() -> Iterator[Make]:
    made: list[StandIn] = []

    def make(react: dict[int, Reaction] | None = None, *, started: bool = True) -> StandIn:
        made.append(StandIn(react or {}))
        if started:
            made[-1].report(started=1.0)
        return made[-1]

    yield make
    for each in made:
        for pipe in each.pipes.values():
            pipe.close()


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(io_loop, "GRACE", 0.05)
    monkeypatch.setattr(io_loop, "KILL_TIMEOUT", 0.05)
    monkeypatch.setattr(io_loop, "SLOW", 0.01)


def loop_of(sandbox: StandIn, result: Result | None = None, **options: Any) -> IoLoop:
    sources: Any = {sandbox.pipes["stdout"].fileno(): [result or Result(1 << 20)]}
    return IoLoop(sandbox, sources, options.pop("feeds", []), **options)  # type: ignore[arg-type]  # a stand-in


def test_all_output_is_read_before_the_loop_ends(stand_in: Make) -> None:
    sandbox, result = stand_in(), Result(1 << 20)
    sandbox.output.write(b"output")
    sandbox.end()
    loop_of(sandbox, result).run(None)
    assert result.value() == b"output"


def test_output_is_not_read_before_the_container_has_started(stand_in: Make) -> None:
    sandbox, result = stand_in(started=False), Result(1 << 20)
    sandbox.output.write(b"words of the runtime")
    sandbox.error = StartError("start", "no such file")
    sandbox.report()
    with pytest.raises(StartError):
        loop_of(sandbox, result).run(None)
    assert result.value() == b""


def test_a_sandbox_that_ends_before_the_start_ends_the_loop(stand_in: Make) -> None:
    sandbox = stand_in(started=False)
    sandbox.pipes["reports of the sandbox"].close()
    loop = loop_of(sandbox)
    loop.run(None)
    assert (loop.sent, loop.killed, loop.timed_out) == (None, "", False)


def test_feeds_are_written_and_closed(stand_in: Make) -> None:
    read, write = os.pipe()
    sandbox = stand_in()
    sandbox.end()
    loop_of(sandbox, feeds=[Feed(FileIO(write, "wb"), b"input")]).run(None)
    assert os.read(read, 100) + os.read(read, 100) == b"input"
    os.close(read)


def test_the_idle_event_comes_once(stand_in: Make) -> None:
    sandbox = stand_in()
    calls: list[str] = []
    os.read(sandbox.pipes["reports"].fileno(), 100)

    def idle() -> None:
        calls.append("idle")
        sandbox.end()

    loop_of(sandbox, events=Events(idle=idle)).run(None)
    assert calls == ["idle"]


def test_a_timeout_sends_the_stop_signal(stand_in: Make) -> None:
    sandbox = stand_in({signal.SIGUSR1: StandIn.end})
    loop = loop_of(sandbox)
    loop.run(0.01, signal.SIGUSR1)
    assert sandbox.signals == [signal.SIGUSR1]
    assert (loop.timed_out, loop.sent, loop.killed) == (True, signal.SIGUSR1, "")


def test_a_signal_before_the_start_is_sent_after_it(stand_in: Make) -> None:
    read, write = os.pipe()
    sandbox = stand_in({signal.SIGTERM: StandIn.end}, started=False)
    os.write(write, bytes([signal.SIGTERM]))

    def slow_end(_: int) -> None:
        assert sandbox.signals == []
        sandbox.report(started=1.0)

    loop = loop_of(sandbox, signals=read, events=Events(slow_end=slow_end))
    loop.run(None)
    assert (sandbox.signals, loop.sent) == ([signal.SIGTERM], signal.SIGTERM)
    os.close(read)
    os.close(write)


def test_shutdown_escalates_from_the_signal_to_killing_the_sandbox_to_giving_up(stand_in: Make) -> None:
    slow: list[int] = []
    sandbox = stand_in()
    loop = loop_of(sandbox, events=Events(slow_end=slow.append))
    loop.run(0.01)
    assert sandbox.signals == [signal.SIGTERM, signal.SIGKILL, 0]
    assert slow == [signal.SIGTERM]
    assert loop.killed == "did not end within 0.05 s of SIGTERM"


def test_a_second_signal_kills_the_container(stand_in: Make) -> None:
    read, write = os.pipe()
    sandbox = stand_in({signal.SIGKILL: StandIn.end})
    os.write(write, bytes([signal.SIGINT, signal.SIGINT]))
    loop = loop_of(sandbox, signals=read)
    loop.run(None)
    assert sandbox.signals == [signal.SIGINT, signal.SIGKILL]
    assert loop.killed == "was sent a second signal"
    os.close(read)
    os.close(write)


def test_a_result_that_is_too_long_kills_the_container(stand_in: Make) -> None:
    sandbox = stand_in({signal.SIGKILL: StandIn.end})
    sandbox.output.write(b"too long")
    loop = loop_of(sandbox, Result(3))
    loop.run(None)
    assert (sandbox.signals, loop.killed) == ([signal.SIGKILL], "wrote more than its result may be")


def test_the_time_limit_does_not_count_while_the_output_is_synced(stand_in: Make) -> None:
    sandbox = stand_in()
    sandbox.output.close()
    sandbox.report(ended=True)
    calls: list[str] = []

    def slow_sync() -> None:
        calls.append("slow sync")
        sandbox.end()

    loop = loop_of(sandbox, events=Events(slow_sync=slow_sync))
    loop.run(0.001)
    assert (calls, loop.timed_out, sandbox.signals) == (["slow sync"], False, [])
