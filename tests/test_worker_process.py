"""Calls in a child process: what comes back, what ends them, and that nothing is left of it."""

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import pytest

from installed import survivors
from tweed_shim.errors import ConfigError, HostError, TimedOut
from tweed_shim.runtime import kernel
from tweed_shim.worker_process import WorkerProcess
from worker_calls import compute, die, fail, interpreter_arguments, refuse, start_and_forget

PATIENCE = 60


Run = Callable[[Callable[[], Any]], Any]


@pytest.fixture(params=["forked", "spawned"])
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Calls a function where a worker is forked, and where it is a new interpreter."""
    monkeypatch.setattr(kernel, "has_one_thread", lambda: request.param == "forked")
    return lambda work: work()


def called(function: Callable[..., Any], *arguments: Any) -> Any:
    with WorkerProcess() as worker:
        return worker.call(function, *arguments, what="the work")


def test_results_come_back_as_they_are(run: Run) -> None:
    value = {"a": [1, 2.5, None, True, "\udc80"], "b": b"x" * (1 << 20)}
    assert run(lambda: called(dict, value)) == value


def test_results_may_be_nested_as_deep_as_templates_make_them(run: Run) -> None:
    nested: list[Any] = []
    for _ in range(300):
        nested = [nested]
    assert run(lambda: called(list, nested)) == nested


def test_one_child_answers_all_calls_and_it_is_another_process(run: Run) -> None:
    def work() -> set[int]:
        with WorkerProcess() as worker:
            return {worker.call(os.getpid, what="the work") for _ in range(3)}

    (pid,) = run(work)
    assert pid != os.getpid()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_errors_come_back_with_their_fields(run: Run) -> None:
    with pytest.raises(ConfigError, match="the file is wrong; correct it"):
        run(lambda: called(refuse))


def test_a_fault_of_the_program_says_where_it_happened(run: Run) -> None:
    with pytest.raises(ZeroDivisionError) as fault:
        run(lambda: called(fail))
    assert "in fail" in "".join(fault.value.__notes__)


def test_a_program_with_threads_gets_an_interpreter_of_its_own() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(called, interpreter_arguments).result(PATIENCE)[:2] == ["-I", "-c"]


def test_a_child_that_dies_is_told_and_the_next_call_has_another_one(run: Run) -> None:
    def work() -> Any:
        with WorkerProcess() as worker:
            message = f"the process that worked on {{}} died by signal {int(signal.SIGKILL)}; see"
            with pytest.raises(HostError, match=re.escape(message.format("the work"))):
                worker.call(die, signal.SIGKILL, what="the work")
            return worker.call(abs, -1, what="the work")

    assert run(work) == 1


def test_a_time_limit_ends_one_long_call(run: Run) -> None:
    def work() -> None:
        with WorkerProcess(seconds=0.5) as worker:
            worker.call(compute, what="the template of it")

    message = (
        "the template of it took longer than 0.5 seconds and was ended; raise the timeout, or simplify it"
    )
    with pytest.raises(TimedOut, match=re.escape(message)) as late:
        run(work)
    assert late.value.exit_code == 124
    assert late.value.run == ""


def test_a_time_limit_is_for_all_calls_together() -> None:
    # Far from the limit on both sides, as a busy machine adds to each call.
    with WorkerProcess(seconds=3) as worker:
        worker.call(time.sleep, 1.5, what="one")
        with pytest.raises(TimedOut, match="the other took longer than 3 seconds"):
            worker.call(time.sleep, 2.5, what="the other")


def test_what_a_call_left_is_cleaned_up_where_it_was_ended_and_only_there() -> None:
    cleaned: list[str] = []
    with WorkerProcess(seconds=3) as worker:
        worker.call(abs, 1, what="it", cleanup=lambda: cleaned.append("done"))
        with pytest.raises(ZeroDivisionError):
            worker.call(fail, what="it", cleanup=lambda: cleaned.append("failed"))
        with pytest.raises(TimedOut):
            worker.call(compute, what="it", cleanup=lambda: cleaned.append("ended"))
    assert cleaned == ["ended"]


def test_commands_of_a_call_end_with_it(tmp_path: Path) -> None:
    with WorkerProcess(seconds=1) as worker, pytest.raises(TimedOut):
        worker.call(start_and_forget, str(tmp_path / "pid"), what="it")
    assert survivors([int((tmp_path / "pid").read_text())]) == []


class _Interrupted(Exception):
    pass


@pytest.fixture
def interrupting() -> Iterator[None]:
    def interrupt(*_: object) -> NoReturn:
        raise _Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_handler_that_raises_ends_a_long_call(interrupting: None) -> None:
    with WorkerProcess() as worker:
        pid = worker.call(os.getpid, what="it")
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(_Interrupted):
            worker.call(compute, what="it")
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_signal_of_the_terminal_is_the_parents_to_decide_about() -> None:
    with WorkerProcess() as worker:
        pid = worker.call(os.getpid, what="it")
        for number in (signal.SIGINT, signal.SIGHUP):
            os.kill(pid, number)
        assert worker.call(os.getpid, what="it") == pid


def test_nothing_is_open_afterwards(run: Run) -> None:
    # The first one imports what opens files.
    run(lambda: called(abs, 1))
    before = sorted(os.listdir("/proc/self/fd"))
    run(lambda: called(abs, 1))
    with pytest.raises(ConfigError):
        run(lambda: called(refuse))
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_a_program_that_takes_all_children_away_still_has_results() -> None:
    ended = threading.Event()

    def reap() -> None:
        while not ended.is_set():
            try:
                os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                ended.wait(0.001)

    thread = threading.Thread(target=reap)
    thread.start()
    try:
        assert [called(abs, -number) for number in range(3)] == [0, 1, 2]
        with pytest.raises(HostError, match="the process that worked on the work died"):
            called(die, signal.SIGKILL)
    finally:
        ended.set()
        thread.join()
