"""Run a request as one recorded run of the store, and judge how it ended."""

import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from tweed_shim import files, trace
from tweed_shim.errors import ContractError, ImageError, OperationFailed, ShimError, TimedOut
from tweed_shim.lean import signal
from tweed_shim.option_names import bare, option
from tweed_shim.records import Record
from tweed_shim.runtime import cgroups, container, runs
from tweed_shim.runtime.container import Console, Setting
from tweed_shim.runtime.host import Host, require_program
from tweed_shim.runtime.request import Outcome, Request
from tweed_shim.settings import Settings

# Beside a run's log and record, while it runs: room for the record of its end.
RESERVE = "reserve"
NOTE_SIZE = 16 << 10


class Launch(Record):
    """What a run is part of.

    what: its name for messages, such as `redis-backend:1 setup`. record: what is written down about it.
    if_failed: what a user whose run failed should know besides. scratch: see `container.Setting`. succeeded: takes the
    result as soon as the image has ended with code 0, before anything else is done; what it raises is raised when the
    run's record is written.
    """

    settings: Settings
    host: Host
    console: Console
    what: str
    record: Mapping[str, object]
    if_failed: str = ""
    scratch: str | None = None
    succeeded: Callable[[bytes], None] = lambda _: None


def _prefix(root: str) -> str:
    """What the names of a store's runs begin with; they are unique on this host."""
    return f"{zlib.crc32(os.fsencode(os.path.realpath(root))):08x}-"


def _is_alive(root: str, number: str) -> bool:
    """Whether somebody holds the directory of a run, as its shim does for as long as it lives."""
    try:
        with files.held_directory(os.path.join(root, "runs", number), shared=False, wait=False) as dead:
            return not dead
    except FileNotFoundError:
        return False


def abandoned(root: str) -> list[str]:
    """The control groups of runs of this store whose shim was killed."""
    beginning = cgroups.PREFIX + _prefix(root)
    return [
        path
        for path in cgroups.named(beginning)
        if not _is_alive(root, os.path.basename(path).removeprefix(beginning))
    ]


def sweep(root: str) -> None:
    """Remove the control groups of runs of this store whose shim was killed."""
    for path in abandoned(root):
        from tweed_shim.runtime import leaving

        with suppress(OSError):
            leaving.remove_empty_cgroup(path)


def _ended_for_memory(*, limited: bool) -> str:
    """Words for a run that the kernel ended for want of memory. limited: whether it had a limit of its own."""
    if limited:
        return f"was ended because its memory limit was reached; allow it more with {option('--memory')}"
    return (
        "was ended because the memory of the host, or of the control group around the run, was used up; free some, and "
        "run it again"
    )


def _judge(outcome: Outcome, of: Launch, run: runs.Run, request: Request) -> None:
    timeout = request.timeout
    logs = "; ".join(filter(None, (of.if_failed, f"'tweed-shim logs {run.number}' shows what it said")))
    if outcome.timed_out:
        raise TimedOut(
            f"{of.what} took longer than {timeout:g} second{'' if timeout == 1 else 's'} and "
            f"{f'{outcome.killed}; killed' if outcome.killed else 'was ended'}; {logs}",
            run=str(run.number),
        )
    if outcome.overflow or outcome.code == 0:
        return
    if outcome.full:
        from tweed_shim import sizes
        from tweed_shim.runtime.kept_size import MOST_FILES

        ended = (
            f"was ended because it wrote more than {sizes.show(request.keep_limit)}, or {MOST_FILES} files, to keep; "
            f"allow it more with {option('--keep-limit')}"
        )
    elif outcome.oom:
        ended = _ended_for_memory(limited=request.limits.memory is not None)
    elif outcome.code == 128 + signal.SIGSYS:
        ended = (
            "was ended by SIGSYS, as by a 32-bit system call or another that its seccomp profile forbids; see "
            f"{bare('--platform')} and {bare('--seccomp')}"
        )
    elif outcome.killed:
        ended = f"{outcome.killed}; killed"
    elif outcome.signal is not None:
        from signal import Signals

        ended = f"was ended by {Signals(outcome.signal).name}"
    else:
        ended = f"ended with exit code {outcome.code}"
    raise OperationFailed(f"{of.what} {ended}; {logs}", exit_code=outcome.code, run=str(run.number))


def _reserve(run: runs.Run) -> None:
    """Take the room on the disk that `_note_end` gives back. Raises OSError where there is none."""
    fd = os.open(
        os.path.join(run.directory, RESERVE), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, files.PRIVATE_FILE
    )
    try:
        files.reserve(fd, NOTE_SIZE)
    finally:
        os.close(fd)


def _note_end(run: runs.Run, **record: object) -> None:
    """Write down how a run ended, where the disk is full in the room that was reserved for it. Raises OSError."""
    with suppress(OSError):
        os.unlink(os.path.join(run.directory, RESERVE))
    run.note(**record)


@contextmanager
def reading(run: runs.Run, result: bytes) -> Iterator[None]:
    """Keep the result of a run in its log, and say so, where reading it within the block raises ContractError.

    The log is as private as the record of an interaction, which holds the same secrets: mode 0600 in a directory 0700.
    """
    try:
        yield
    except ContractError as error:
        message = f"{error}; 'tweed-shim logs {run.number}' shows what it wrote"
        with suppress(OSError):
            run.keep_result(result)
            run.fail(str(error))
        raise ContractError(message) from error


def _run(request: Request, setting: Setting, of: Launch) -> Outcome:
    """Run a request. Raises as `container.run` does; what is wrong with an image names what was run."""
    try:
        return container.run(request, setting)
    except ImageError as error:
        raise ImageError(f"{of.what}: {error}") from error


def launch(
    request: Request, of: Launch, meanwhile: Callable[[], None] = lambda: None
) -> tuple[runs.Run, Outcome]:
    """Run a request, keep its log and record, and return them where it ended with code 0.

    Raises OperationFailed where it ended otherwise, TimedOut where its time was up, HostError and ImageError where
    it could not be run.
    """
    with trace.span("prepare"):
        program = require_program(of.settings.runtime)
        run = runs.begin(of.settings.root)
        record = {**of.record, "started": runs.timestamp()}
        run.note(**record, state="running", process=os.getpid())
        _reserve(run)

    def while_it_runs() -> None:
        from tweed_shim import scratch

        meanwhile()
        sweep(of.settings.root)
        scratch.sweep_tmp(of.settings.root, of.host.ids)
        if of.scratch is not None:
            from tweed_shim.runtime import scratch_directories

            scratch_directories.sweep(of.scratch, of.host.ids)

    faults: list[ShimError] = []

    def succeeded(result: bytes) -> None:
        try:
            of.succeeded(result)
        except ShimError as fault:
            faults.append(fault)

    setting = Setting(
        name=f"{_prefix(of.settings.root)}{run.number}",
        root=of.settings.root,
        runtime=program,
        host=of.host,
        log=run.log,
        log_limit=of.settings.log_limit,
        console=of.console,
        scratch=of.scratch,
        meanwhile=while_it_runs,
        succeeded=succeeded,
    )
    try:
        with files.held_directory(run.directory):
            outcome = _run(request, setting, of)
    except BaseException as error:
        from tweed_shim.runtime import leaving

        # A sandbox that had to be killed could not leave its control group.
        for path in abandoned(of.settings.root):
            leaving.remove_cgroup(path)
        with suppress(OSError):
            why = str(error) if isinstance(error, ShimError) else repr(error)
            _note_end(run, **record, state="failed", error=why)
        raise
    # The record is about the run; that it cannot be written is no reason to lose what the run did.
    with trace.span("collect"), suppress(OSError):
        _note_end(
            run,
            **record,
            state="timed out" if outcome.timed_out else "ended",
            exit_code=TimedOut.exit_code if outcome.timed_out else outcome.code,
            oom=outcome.oom,
            killed=outcome.killed,
            seconds={name: round(value, 6) for name, value in outcome.seconds.items()},
        )
    if faults:
        with reading(run, outcome.result):
            raise faults[0]
    if outcome.code != 0 or outcome.overflow:
        with suppress(OSError):
            run.keep_result(outcome.result)
    parts = ", ".join(f"{name} {value:.3f} s" for name, value in outcome.seconds.items())
    of.console.info(f"run {run.number}, {of.what}: {parts}")
    _judge(outcome, of, run, request)
    return run, outcome
