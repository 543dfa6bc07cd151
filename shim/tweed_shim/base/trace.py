"""Record where the time of one command goes, as a Chrome trace: a JSON file that chrome://tracing and Perfetto show.

Off except within `recording`; then `span` costs next to nothing. The format is the "JSON object format" of the Trace
Event Format with complete events (`"ph": "X"`); times are microseconds of CLOCK_MONOTONIC, which all processes of
a host share.
"""

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from tweed_shim.base.lean.typing import Any
from tweed_shim.base.records import Record
from tweed_shim.errors import HostError

_OFF: AbstractContextManager[None] = nullcontext()
_events: list[dict[str, Any]] | None = None


class Entry(Record):
    """When the program's own work began. at: the time; spent: the processor time used before, seconds."""

    at: float
    spent: float


class _Span:
    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        self._started = time.monotonic()

    def __exit__(self, *_: object) -> None:
        add(self._name, self._started, time.monotonic())


def entry() -> Entry:
    """Return the current moment as the program's entry."""
    return Entry(time.monotonic(), time.process_time())


def span(name: str) -> AbstractContextManager[None]:
    """Return a context whose length is recorded under a name."""
    return _OFF if _events is None else _Span(name)


def add(name: str, started: float, ended: float, pid: int | None = None) -> None:
    """Record a span that is over, of this process or another; times are those of `time.monotonic`."""
    if _events is None:
        return
    from threading import get_native_id

    _events.append(
        {
            "name": name,
            "ph": "X",
            "ts": round(started * 1e6),
            "dur": round(ended * 1e6) - round(started * 1e6),
            "pid": pid or os.getpid(),
            "tid": pid or get_native_id(),
        }
    )


@contextmanager
def recording(path: str | None, entry: Entry) -> Iterator[None]:
    """Record the block, and write the trace to a file at its end, also after an exception. Without a path do nothing.

    All of the process is the span `tweed-shim`; what came before its `entry` is `start` in it, and from there to the
    block it is `imports`. Raises HostError, before anything is done, where the file cannot be written.
    """
    if path is None:
        yield
        return
    global _events
    import json
    from contextlib import ExitStack

    from tweed_shim.base import named_files

    events: list[dict[str, Any]] = []
    failure: BaseException | None = None
    with ExitStack() as stack:
        try:
            file = stack.enter_context(named_files.writing(path, durable=False))
        except OSError as error:
            raise HostError(
                f"the trace cannot be written to {path} ({error.strerror}); name another file"
            ) from error
        _events = events
        began = entry.at - entry.spent
        add("start", began, entry.at)
        add("imports", entry.at, time.monotonic())
        try:
            yield
        except BaseException as error:  # noqa: BLE001 - raised below: the file is kept however the block ends
            failure = error
        add("tweed-shim", began, time.monotonic())
        _events = None
        file.write(json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}).encode())
    if failure is not None:
        raise failure
