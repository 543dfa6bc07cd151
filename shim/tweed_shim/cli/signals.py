"""Handle the signals that end a command: they interrupt the shim, or are passed on to a running container."""

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
    """A signal interrupts the shim; `number` is that of the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


# The numbers of the signals received so far: the exception of a signal can be lost, or wrapped by another one.
received: list[int] = []


def _interrupt(number: int, _: FrameType | None) -> None:
    received.append(number)
    signal.setitimer(signal.ITIMER_REAL, 0)
    raise Interrupted(received[0])


def raise_again(dropped: "UnraisableHookArgs") -> None:
    """Raise Interrupted a moment later; the hook for exceptions that Python drops, as in `__del__`."""
    if isinstance(dropped.exc_value, Interrupted):
        signal.setitimer(signal.ITIMER_REAL, MOMENT)
    else:
        sys.__unraisablehook__(dropped)


@contextmanager
def passed_on_with_resizing() -> Iterator[int]:
    """Do what `passed_on` does, and yield SIGWINCH, too: the terminal has another size."""
    with passed_on() as read:
        before = signal.signal(signal.SIGWINCH, _pass_on)
        try:
            yield read
        finally:
            signal.signal(signal.SIGWINCH, before)


def _pass_on(number: int, _: FrameType | None) -> None:
    """Do nothing: Python has already written the number to the wakeup descriptor."""


def interrupting() -> None:
    """Make the signals that end a command raise Interrupted, so that `finally` blocks clean up."""
    # If the caller ignores SIGCHLD, the kernel reaps the children itself: wait(2), "NOTES".
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup(1)
            signal.signal(number, _interrupt)
    signal.signal(signal.SIGALRM, _interrupt)  # see raise_again
    received.clear()


@contextmanager
def passed_on() -> Iterator[int]:
    """Collect the signals for the block: yield a descriptor with their numbers, one byte each.

    Signals that have not been read at the end of the block are raised again.
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
            # None where a child of this process that was just forked still has the other end open: nothing was read.
            late = unread.read() or b""
        for each in late:
            signal.raise_signal(each)
