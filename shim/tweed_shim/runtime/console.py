"""The user's side of a run: where words go, and where signals come from."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from tweed_shim.base.option_values import checks, descriptor, function, optional
from tweed_shim.base.records import Record


class Console(Record):
    """The user's side of a run.

    stdout and stderr: the descriptors that an image's diagnostics are shown on, None for nowhere. catching: a
    context in which the container runs; what it yields is a descriptor from which the numbers of signals to pass
    on are read, a byte each, or None. warn: takes sentences for the user; info: those for the curious; report: the
    steps of long work, None for no interest in them.
    """

    stdout: int | None = None
    stderr: int | None = None
    catching: Callable[[], AbstractContextManager[int | None]] = nullcontext
    warn: Callable[[str], None] = lambda _: None
    info: Callable[[str], None] = lambda _: None
    report: Callable[[str], None] | None = None

    CHECKS = checks(
        stdout=optional(descriptor),
        stderr=optional(descriptor),
        **dict.fromkeys(("catching", "warn", "info"), function),
        report=optional(function),
    )
