"""An exception out of a signal handler, wherever it comes in a start, leaves no child and no descriptor.

A handler runs between two bytecodes. So each start is run under a trace (sys.settrace) that raises at its Nth bytecode,
for each N. What only C code has seen (the result of a call, before it is stored) is covered by that too: the trace
of the next bytecode comes after the call and before the assignment.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from tweed_shim import children, idmap, interpreter, schemas, subprocesses, worker_process
from tweed_shim.idmap import IdMap
from tweed_shim.runtime import keeper, kernel
from tweed_shim.runtime.keeper import Keeper
from tweed_shim.worker_process import WorkerProcess

TRACED = {
    module.__file__
    for module in (children, interpreter, subprocesses, schemas, keeper, idmap, worker_process)
}


class HandlerError(Exception):
    """What a signal handler of the program that embeds the shim raises."""


class Injection:
    """Raises at one bytecode; `reached` says whether there was one of that number."""

    def __init__(self, at: int) -> None:
        self._left = at
        self._owner = os.getpid()
        self.reached = False

    def trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename not in TRACED or os.getpid() != self._owner:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and not self.reached:
            self._left -= 1
            # Python itself drops what is raised there, and runs no handler of a signal that is blocked.
            if (
                self._left < 0
                and not is_within_del(frame)
                and not signal.pthread_sigmask(signal.SIG_BLOCK, ())
            ):
                self.reached = True
                raise HandlerError
        return self.trace


def is_within_del(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


def start_of_keeper() -> None:
    with Keeper(IdMap("host")):
        pass


def start_of_checker() -> None:
    with schemas.Examiner() as examiner:
        examiner.start()


def start_of_worker() -> None:
    with WorkerProcess() as worker:
        assert worker.call(os.getppid, what="a call") == os.getpid()


def whole_command() -> None:
    idmap.run_mapped(IdMap("host"), ["true"])


def state() -> tuple[list[str], list[str]]:
    """The descriptors and the children of this process."""
    with open(f"/proc/self/task/{threading.get_native_id()}/children", encoding="ascii") as file:
        return sorted(os.listdir("/proc/self/fd")), file.read().split()


def inject(start: Callable[[], None], at: int) -> bool:
    """Run a start with an exception at one of its bytecodes; returns whether there was one of that number."""
    injection = Injection(at)
    before = sys.gettrace()
    sys.settrace(injection.trace)
    try:
        start()
    except HandlerError:
        pass
    finally:
        sys.settrace(before)
    return injection.reached


@pytest.mark.parametrize(
    ("start", "threads", "step"),
    [
        (start_of_keeper, 1, 1),
        (start_of_keeper, 2, 3),
        (start_of_checker, 1, 3),
        (start_of_worker, 1, 1),
        (start_of_worker, 2, 23),
        (whole_command, 1, 13),
    ],
)
def test_an_exception_at_any_point_of_a_start_leaves_nothing(
    start: Callable[[], None], threads: int, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "has_one_thread", lambda: threads == 1)
    start()
    before = state()
    at = 0
    while inject(start, at):
        assert state() == before, at
        at += step
    assert at > 500, "the start is traced"
