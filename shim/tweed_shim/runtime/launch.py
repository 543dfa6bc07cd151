"""Run a request as one recorded run of the store, and judge how it ended."""

import os
import signal
import zlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

from tweed_shim.errors import OperationFailed, ShimError, TimedOut
from tweed_shim.runtime import container, runs
from tweed_shim.runtime.container import Console, Setting
from tweed_shim.runtime.host import Host
from tweed_shim.runtime.request import Outcome, Request
from tweed_shim.settings import Settings


class Launch(NamedTuple):
    """What a run is part of. what: its name for messages, such as `redis-backend:1 setup`. record: what is written
    down about it. scratch: see `container.Setting`."""

    settings: Settings
    host: Host
    console: Console
    what: str
    record: Mapping[str, object]
    scratch: str | None = None


def _name(root: str, run: runs.Run) -> str:
    """A name that is unique on this host, and tells a run's store: the names of its dead runs can be swept."""
    return f"{zlib.crc32(os.path.realpath(root).encode()):08x}-{run.number}"


def _judge(outcome: Outcome, what: str, run: runs.Run, timeout: float | None) -> None:
    logs = f"'tweed-shim logs {run.number}' shows what it said"
    if outcome.timed_out:
        raise TimedOut(
            f"{what} took longer than {timeout:g} seconds and was ended; {logs}", run=str(run.number)
        )
    if outcome.overflow or outcome.code == 0:
        return
    if outcome.oom:
        ended = "was ended because its memory limit was reached; allow it more with --memory"
    elif outcome.signal is not None:
        ended = f"was ended by {signal.Signals(outcome.signal).name}"
    else:
        ended = f"ended with exit code {outcome.code}"
    raise OperationFailed(f"{what} {ended}; {logs}", exit_code=outcome.code, run=str(run.number))


def launch(
    request: Request, of: Launch, meanwhile: Callable[[], None] = lambda: None
) -> tuple[runs.Run, Outcome]:
    """Run a request, keep its log and record, and return them where it ended with code 0.

    Raises OperationFailed where it ended otherwise, TimedOut where its time was up, HostError and ImageError where
    it could not be run.
    """
    run = runs.begin(of.settings.root)
    record = {**of.record, "started": runs.timestamp()}
    run.note(**record, state="running")
    setting = Setting(
        name=_name(of.settings.root, run),
        root=of.settings.root,
        runtime=of.settings.runtime,
        host=of.host,
        log=run.log,
        console=of.console,
        scratch=of.scratch,
        meanwhile=meanwhile,
    )
    try:
        outcome = container.run(request, setting)
    except ShimError as error:
        run.note(**record, state="failed", error=str(error))
        raise
    run.note(
        **record,
        state="ended",
        exit_code=outcome.code,
        timed_out=outcome.timed_out,
        oom=outcome.oom,
        seconds={name: round(value, 6) for name, value in outcome.seconds.items()},
    )
    _judge(outcome, of.what, run, request.timeout)
    return run, outcome
