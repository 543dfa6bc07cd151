"""Handle the signals that end a command: they end the shim, or are passed on to a running container."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from tweed_shim.base.lean import signal
from tweed_shim.base.lean.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

MOMENT = 0.01  # seconds
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal asked the shim to end; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


# The signals received so far. The exception that each raises can be lost, or replaced by another one.
received: list[int] = []


def _interrupt(number: int, _: FrameType | None) -> None:
    received.append(number)
    signal.setitimer(signal.ITIMER_REAL, 0)
    raise Interrupted(received[0])


def raise_again(lost: "UnraisableHookArgs") -> None:
    """Raise Interrupted a moment later; the hook for exceptions that Python drops, as in `__del__`."""
    if isinstance(lost.exc_value, Interrupted):
        signal.setitimer(signal.ITIMER_REAL, MOMENT)
    else:
        sys.__unraisablehook__(lost)


def _pass_on(number: int, _: FrameType | None) -> None:
    """Do nothing: the wakeup descriptor has already received the number."""


def interrupting() -> None:
    """Let the signals that end a command raise Interrupted, so that what has been begun is undone."""
    # Where the caller ignored SIGCHLD the kernel would reap our children: wait(2).
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup(1)
            signal.signal(number, _interrupt)
    signal.signal(signal.SIGALRM, _interrupt)  # see raise_again
    received.clear()


@contextmanager
def passed_on() -> Iterator[int]:
    """Collect the signals instead: yields a descriptor from which their numbers are read, a byte each.

    Signals that nobody has read by the end of the block are raised again then.
    """
    read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    before = {number: signal.getsignal(number) for number in ENDING}
    wakeup = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, _pass_on)
        yield read
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
        os.close(write)
        with open(read, "rb") as unread:
            late = unread.read()
        for each in late:
            signal.raise_signal(each)
