"""Reports the progress of long steps: a bar on a terminal, elsewhere one line for each finished step."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from tweed_shim.image.blobs import Progress
from tweed_shim.image.store import megabytes

Report = Callable[[str], None]


def silent(_line: str) -> None:
    """Report nothing."""


@contextmanager
def step(report: Report, doing: str, done: str) -> Iterator[None]:
    """Report a step: on a terminal when it begins, elsewhere when it has ended, with its duration."""
    if sys.stderr.isatty():
        report(doing)
        yield
        return
    started = time.monotonic()
    yield
    report(f"{done} in {time.monotonic() - started:.1f} s")


@contextmanager
def shown(report: Report, what: str, size: int) -> Iterator[Progress]:
    """Show the progress of fetching `size` bytes; yield a function to call with the number of bytes of each piece.

    The function may be called from several threads. With `silent` there is no bar either.
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
