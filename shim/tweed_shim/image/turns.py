"""Locks that keep processes from pulling or unpacking the same image at once, within the time limit of a pull."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from tweed_shim.base.deadline import Deadline
from tweed_shim.host import workdirs

POLL_INTERVAL = 0.1  # seconds


class _Busy(Exception):
    """Another process holds the lock."""


@contextmanager
def turn(
    root: str, lock: str, deadline: Deadline, *, waiting: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Hold a lock of the store for the length of a with block. Raises PullTimedOut.

    waiting: called once if another process holds the lock.
    """
    reported = False

    def busy() -> None:
        nonlocal reported
        if not reported:
            waiting()
            reported = True
        # flock(2) waits without a time limit, so a deadline needs polling.
        if deadline.is_set:
            raise _Busy

    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(workdirs.only_one(root, lock, busy))
                break
            except _Busy:
                deadline.check()
                time.sleep(POLL_INTERVAL)
        yield
