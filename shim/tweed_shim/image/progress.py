"""How far long work has come: a bar on a terminal, one line elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from tweed_shim.image.blobs import Progress
from tweed_shim.image.pull import Report, silent
from tweed_shim.image.store import megabytes


@contextmanager
def shown(report: Report, label: str, size: int) -> Iterator[Progress]:
    """Show work on `size` bytes; yields what is to be told how many bytes are done.

    It may be called from several threads. Whoever reports to nobody wants no bar either.
    """
    if report is silent or not sys.stderr.isatty():
        report(f"{label}, {megabytes(size)}")
        yield _ignore
        return
    from tqdm import tqdm

    lock = Lock()
    with tqdm(total=size, desc=label, unit="B", unit_scale=True, leave=False, file=sys.stderr) as bar:

        def advance(count: int) -> None:
            with lock:
                bar.update(count)

        yield advance


def _ignore(_count: int) -> None:
    pass
