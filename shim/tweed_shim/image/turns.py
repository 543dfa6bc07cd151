"""Waiting for other processes that pull or unpack the same, within the time that a pull has."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from tweed_shim.base.deadline import Deadline
from tweed_shim.host import workdirs

ASK_AGAIN = 0.1  # seconds


class _Busy(Exception):
    """Another process holds the lock."""


@contextmanager
def turn(
    root: str, lock: str, deadline: Deadline, *, waiting: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Hold a lock of the store, which other processes may hold for as long as a pull takes.

    waiting: called once where another process holds it. Raises PullTimedOut.
    """
    told = False

    def busy() -> None:
        nonlocal told
        if not told:
            waiting()
            told = True
        # Waiting for a lock has no time limit (flock(2)), so with one it is asked for again and again.
        if deadline.is_set:
            raise _Busy

    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(workdirs.only_one(root, lock, busy))
                break
            except _Busy:
                deadline.check()
                time.sleep(ASK_AGAIN)
        yield
