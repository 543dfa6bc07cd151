"""Evaluate templates in a worker process, so that a signal or a time limit can end any expression.

`spiff.merge` evaluates in the process of its caller.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

from tweed_shim.base.records import replace
from tweed_shim.host.worker_process import WorkerProcess
from tweed_shim.spiff.merging import Document, Options, lasting, process
from tweed_shim.spiff.recursion import deep
from tweed_shim.spiff.tree.output import plain_data

# The beginnings of an expression and a control structure, and the escape that can stand for them ("\x28").
_EVALUATED = ("((", "<<", "\\")

_T = TypeVar("_T")


def merge(
    worker: WorkerProcess, template: Document, stubs: Sequence[Document], options: Options
) -> list[tuple[Any, bool]]:
    """Process a template with stubs in a worker; return each document as plain data, with whether it is lasting.

    The worker does so, unless nothing has to be evaluated. Functions among the options have to be pickled. Raises
    SpiffError, TimedOut where the worker's time is used up, and HostError where the worker dies.
    """
    if not any(_may_be_evaluated(each.text) for each in (template, *stubs)):
        return _merge(options, template, stubs)
    return call(worker, _merge, options, template, stubs, what=template.name)


def _may_be_evaluated(text: str) -> bool:
    return any(each in text for each in _EVALUATED)


def _merge(options: Options, template: Document, stubs: Iterable[Document]) -> list[tuple[Any, bool]]:
    with deep(template.name):
        results = process(template, stubs, options)
        kept = {id(each) for each in lasting(results)}
        return [(plain_data(each), id(each) in kept) for each in results]


def call(
    worker: WorkerProcess, function: Callable[..., _T], options: Options, *arguments: Any, what: str
) -> _T:
    """Call a function that evaluates templates in the worker; it gets the options before the other arguments.

    Temporary files of templates are removed also where the worker is killed. what: names the work in errors.
    """
    # A random prefix: another user who could guess it could give a file in that directory such a name, and have it
    # removed.
    prefix = f"spiff-{os.urandom(8).hex()}-"
    return worker.call(
        function,
        replace(options, temporary_prefix=prefix),
        *arguments,
        what=what,
        cleanup=partial(_remove_temporary, prefix),
    )


def _remove_temporary(prefix: str) -> None:
    import glob
    import tempfile
    from contextlib import suppress

    for path in glob.glob(os.path.join(glob.escape(tempfile.gettempdir()), f"{prefix}*")):
        with suppress(OSError):
            os.unlink(path)
