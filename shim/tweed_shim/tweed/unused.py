"""Hold the lock of something that is to be removed, unless an operation uses it."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from tweed_shim.base import files
from tweed_shim.errors import StateError

# How many seconds a removal waits for a lock that no recorded run holds, and how many pass between two attempts.
LOCK_TIMEOUT = 5
RETRY_INTERVAL = 0.05


@contextmanager
def unused(lock: str, what: str, users: Callable[[], str]) -> Iterator[int]:
    """Hold a lock file alone within the block, and yield its descriptor.

    what: what is to be removed, for messages. users: returns the runs that use it, as text. Raises StateError where a
    recorded run holds the lock, or another process does so for LOCK_TIMEOUT seconds.
    """
    deadline = time.monotonic() + LOCK_TIMEOUT

    def busy() -> None:
        raise BlockingIOError

    with ExitStack() as stack:
        while True:
            try:
                held = stack.enter_context(files.locked(lock, waiting=busy))
                break
            except BlockingIOError:
                runs = users()
                if runs or time.monotonic() > deadline:
                    raise StateError(
                        f"{what} is in use by {runs or 'another process'}; run it again when that has ended, or end "
                        "that first"
                    ) from None
                time.sleep(RETRY_INTERVAL)
        yield held
