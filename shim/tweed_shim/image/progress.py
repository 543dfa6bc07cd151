"""How far long work has come: on a terminal while it goes on, elsewhere one line for each step that is done."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from tweed_shim.image.blobs import Progress
from tweed_shim.image.store import megabytes

Report = Callable[[str], None]


def silent(_line: str) -> None:
    """Report to nobody."""


@contextmanager
def step(report: Report, doing: str, done: str) -> Iterator[None]:
    """Report a step: as it begins where somebody watches, with the time that it took elsewhere."""
    if sys.stderr.isatty():
        report(doing)
        yield
        return
    started = time.monotonic()
    yield
    report(f"{done} in {time.monotonic() - started:.1f} s")


@contextmanager
def shown(report: Report, what: str, size: int) -> Iterator[Progress]:
    """Show the fetching of `size` bytes; yields what is to be told how many bytes are done.

    It may be called from several threads. Whoever reports to nobody wants no bar either.
    """
    if report is silent or not sys.stderr.isatty():
        with step(report, "", f"fetched {what}, {megabytes(size)},"):
            yield _ignore
        return
    from tqdm import tqdm

    lock = Lock()
    with tqdm(
        total=size, desc=f"fetching {what}", unit="B", unit_scale=True, leave=False, file=sys.stderr
    ) as bar:

        def advance(count: int) -> None:
            with lock:
                bar.update(count)

        yield advance


def _ignore(_count: int) -> None:
    pass
