"""The user's side of a run: where messages go to, and where signals come from."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from tweed_shim.base.option_values import checks, descriptor, function, optional
from tweed_shim.base.records import Record


class Console(Record):
    """The user's side of a run.

    stdout and stderr: the descriptors that an image's diagnostics are shown on, None for nowhere. catching: makes a
    context in which the container runs. It yields a descriptor from which the numbers of signals to pass on are read, a
    byte each; None for no signals. warn: called with a message that the user should read. info: called with one for
    `--verbose`. report: called with each step of long work; None where the steps are not shown. stdin: the descriptor
    that an interactive run reads, None for none.
    """

    stdout: int | None = None
    stderr: int | None = None
    catching: Callable[[], AbstractContextManager[int | None]] = nullcontext
    warn: Callable[[str], None] = lambda _: None
    info: Callable[[str], None] = lambda _: None
    report: Callable[[str], None] | None = None
    stdin: int | None = None

    CHECKS = checks(
        stdout=optional(descriptor),
        stderr=optional(descriptor),
        **dict.fromkeys(("catching", "warn", "info"), function),
        report=optional(function),
        stdin=optional(descriptor),
    )
