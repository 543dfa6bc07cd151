"""The time that a pull may take: one clock for its requests, its pauses and the unpacking."""

import math
import time

from tweed_shim.errors import PullTimedOut


class Deadline:
    """A moment that ends a pull; with `seconds` None there is none.

    what: the image, for the message.
    """

    def __init__(self, seconds: float | None, what: str) -> None:
        """Start the clock."""
        self._seconds = math.inf if seconds is None else seconds
        self._what = what
        self._end = time.monotonic() + self._seconds

    @property
    def is_set(self) -> bool:
        """Whether there is a limit."""
        return self._end < math.inf

    def remaining(self) -> float:
        """Return the seconds that are left: 0 where there are none, infinity without a limit."""
        return max(0.0, self._end - time.monotonic())

    def check(self) -> None:
        """Raise PullTimedOut where the time is over."""
        if self.remaining() == 0:
            raise PullTimedOut(
                f"pulling {self._what} took longer than {self._seconds:g} s; try again with a longer time limit, "
                "what has come whole is not fetched again"
            )


NO_DEADLINE = Deadline(None, "")
