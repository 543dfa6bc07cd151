"""Run a request as one recorded run of the store, and raise an error where it failed."""

import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from tweed_shim.base import files, trace
from tweed_shim.base.lean import signal
from tweed_shim.base.lean.typing import TYPE_CHECKING
from tweed_shim.base.option_names import bare, option
from tweed_shim.base.records import Record
from tweed_shim.base.settings import Settings
from tweed_shim.errors import ContractError, ImageError, OperationFailed, ShimError, TimedOut
from tweed_shim.runtime import cgroups, container, runs
from tweed_shim.runtime.console import Console
from tweed_shim.runtime.container import RunContext
from tweed_shim.runtime.host import Host, require_program
from tweed_shim.runtime.request import MOST_FILES, SECOND_SIGNAL, Outcome, Request

if TYPE_CHECKING:
    from tweed_shim.runtime.sandbox_ahead import SandboxAhead

# A file beside a run's log and record, while it runs: it holds the disk space for the record of its end.
RESERVE = "reserve"
RECORD_SIZE = 16 << 10


class Job(Record):
    """What a run is for.

    what: its name for messages, such as `redis-backend:1 setup`. record: what `run.json` says of it. if_failed: what is
    added to the message of a run that failed. meanwhile: called while the image runs. succeeded: called with the result
    as soon as the image has ended with code 0, before anything else is done. An error that it raises is raised once the
    run's record has been written. ahead: as in RunContext.
    """

    what: str
    record: Mapping[str, object]
    if_failed: str = ""
    meanwhile: Callable[[], None] = lambda: None
    succeeded: Callable[[bytes], None] = lambda _: None
    ahead: "SandboxAhead | None" = None


class Site(Record):
    """Where runs take place: the store and the runtime, the host, and the user's console."""

    settings: Settings
    host: Host
    console: Console


def _prefix(root: str) -> str:
    """Return the prefix that makes the names of a store's runs unique on this host."""
    return f"{zlib.crc32(os.fsencode(os.path.realpath(root))):08x}-"


def _is_alive(root: str, number: str) -> bool:
    """Tell whether the shim of a run lives: it holds the lock of the run's directory for as long as it does."""
    try:
        with files.held_directory(os.path.join(root, "runs", number), shared=False, wait=False) as is_free:
            return not is_free
    except FileNotFoundError:
        return False


def abandoned(root: str) -> list[str]:
    """Return the control groups of runs of this store whose shim was killed."""
    prefix = cgroups.PREFIX + _prefix(root)
    return [
        path
        for path in cgroups.with_prefix(prefix)
        if not _is_alive(root, os.path.basename(path).removeprefix(prefix))
    ]


def sweep(root: str) -> None:
    """Remove the control groups of runs of this store whose shim was killed."""
    for path in abandoned(root):
        from tweed_shim.runtime import cleanup

        with suppress(OSError):
            cleanup.remove_empty_cgroup(path)


def _ended_for_memory(*, limited: bool) -> str:
    """Return the message for a run that was killed for want of memory. limited: whether it had a memory limit."""
    if limited:
        return f"was ended because its memory limit was reached; allow it more with {option('--memory')}"
    return (
        "was ended because the memory of the host, or of the control group around the run, was used up; free some, and "
        "run it again"
    )


def _raise_failure(outcome: Outcome, job: Job, run: runs.Run, *, request: Request) -> None:
    """Raise an error where a run did not end with code 0; the log then gets its result.

    An interactive run may end with any code.

    OperationFailed, TimedOut, or ContractError where it wrote more to a directory than that can hold.
    """
    if request.interactive and outcome.exit_code is not None and not outcome.full:
        return  # its user has seen how it ended
    if outcome.code != 0 or outcome.overflow:
        with suppress(OSError):
            run.log_result(outcome.result)
    timeout = request.options.timeout
    hints = "; ".join(filter(None, (job.if_failed, f"'tweed-shim logs {run.number}' shows what it said")))
    if outcome.timed_out:
        late = TimedOut(
            f"{job.what} took longer than {timeout:g} second{'' if timeout == 1 else 's'} and "
            f"{f'{outcome.killed}; killed' if outcome.killed else 'was ended'}; {hints}",
            run=str(run.number),
        )
        late.killed = _is_killed(outcome)
        raise late
    if outcome.overflow or outcome.code == 0:
        return
    message = f"{job.what} {_failure(outcome, request)}; {hints}"
    if outcome.full and _own_limit(outcome.full, request) is not None:
        # No option allows more there: the image breaks its contract.
        raise ContractError(message)
    failure = OperationFailed(message, exit_code=outcome.code, run=str(run.number))
    failure.killed = _is_killed(outcome)
    failure.given_up = outcome.killed == SECOND_SIGNAL
    raise failure


def _own_limit(destination: str, request: Request) -> int | None:
    """Return the limit that the mount at a destination has for itself, or None."""
    return next(mount.limit for mount in request.mounts if mount.destination == destination)


def _is_killed(outcome: Outcome) -> bool:
    """Tell whether a run was ended by SIGKILL, by the shim or by anyone else."""
    return bool(outcome.killed or outcome.full or outcome.signal == signal.SIGKILL)


def _exceeded(destination: str, request: Request) -> str:
    """Return the message for a run that exceeded the limit of the mount at a destination."""
    from tweed_shim.base import sizes

    limit = _own_limit(destination, request)
    if limit is None:
        return (
            f"was ended because it wrote more than {sizes.show(request.keep_limit)}, or {MOST_FILES} files, to keep; "
            f"allow it more with {option('--keep-limit')}"
        )
    return (
        f"was ended because it wrote more than {sizes.show(limit)}, or {MOST_FILES} files, to {destination}, which is "
        "the most there; have the image keep less there"
    )


def _failure(outcome: Outcome, request: Request) -> str:
    """Return how a run ended that did not end with code 0, as a part of a sentence."""
    if outcome.full:
        return _exceeded(outcome.full, request)
    if outcome.oom:
        return _ended_for_memory(limited=request.options.limits.memory is not None)
    if outcome.code == 128 + signal.SIGSYS:
        return (
            "was ended by SIGSYS, as by a 32-bit system call or another that its seccomp profile forbids; see "
            f"{bare('--platform')} and {bare('--seccomp')}"
        )
    if outcome.killed:
        return f"{outcome.killed}; killed"
    if outcome.signal is not None:
        from signal import Signals

        return f"was ended by {Signals(outcome.signal).name}"
    return f"ended with exit code {outcome.code}"


def _reserve(run: runs.Run) -> None:
    """Reserve the disk space that `_record_end` needs. Raises OSError where there is none."""
    fd = os.open(
        os.path.join(run.directory, RESERVE), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, files.PRIVATE_FILE
    )
    try:
        files.reserve(fd, RECORD_SIZE)
    finally:
        os.close(fd)


def _record_end(run: runs.Run, record: Mapping[str, object]) -> None:
    """Write the record of a run that has ended, on a full disk into the reserved space. Raises OSError."""
    with suppress(OSError):
        os.unlink(os.path.join(run.directory, RESERVE))
    run.write_record(record)


@contextmanager
def reading(run: runs.Run, result: bytes) -> Iterator[None]:
    """Append the result of a run to its log, and say so, where reading it within the block raises ContractError.

    The log is as private as the record of an interaction, which holds the same secrets: mode 0600 in a directory 0700.
    """
    try:
        yield
    except ContractError as error:
        message = f"{error}; 'tweed-shim logs {run.number}' shows what it wrote"
        with suppress(OSError):
            run.log_result(result)
            run.fail(str(error))
        raise ContractError(message) from error


def _run(request: Request, context: RunContext, what: str) -> Outcome:
    """Run a request. Raises what `container.run` raises; an ImageError names `what` was run."""
    try:
        return container.run(request, context)
    except ImageError as error:
        error.args = (f"{what}: {error}",)
        raise


def _meanwhile(request: Request, job: Job, site: Site) -> None:
    """Do the work that a run has to do besides: what the contract has for it, and sweeping what killed runs left."""
    from tweed_shim.host import workdirs

    job.meanwhile()
    sweep(site.settings.root)
    workdirs.sweep_tmp(site.settings.root, site.host.ids)
    if (scratch := request.options.scratch) is not None:
        from tweed_shim.runtime import scratch_directories

        scratch_directories.sweep(scratch, site.host.ids)


def _collect_error(job: Job, result: bytes, errors: list[ShimError]) -> None:
    """Call a job's `succeeded`, and add the error that it raises to a list: the run's record comes first."""
    try:
        job.succeeded(result)
    except ShimError as error:
        errors.append(error)


def _record_failure(run: runs.Run, record: Mapping[str, object], error: BaseException, *, root: str) -> None:
    """Write the record of a run that raised an error, and remove its control group."""
    from tweed_shim.runtime import cleanup

    # A sandbox that had to be killed could not leave its control group.
    for path in abandoned(root):
        cleanup.remove_cgroup(path)
    with suppress(OSError):
        message = str(error) if isinstance(error, ShimError) else repr(error)
        _record_end(run, {**record, "state": "failed", "error": message})


def _outcome_fields(outcome: Outcome) -> dict[str, object]:
    """Return what the record of a run says of its outcome."""
    return {
        "state": "timed out" if outcome.timed_out else "ended",
        "exit_code": TimedOut.exit_code if outcome.timed_out else outcome.code,
        "oom": outcome.oom,
        "killed": outcome.killed,
        "seconds": {name: round(value, 6) for name, value in outcome.seconds.items()},
    }


def run_recorded(request: Request, job: Job, site: Site) -> tuple[runs.Run, Outcome]:
    """Run a request, write its log and record, and return the run and its outcome.

    The program ended with code 0, or was killed because its result was too long (Outcome.overflow).

    Raises OperationFailed where it ended otherwise, TimedOut where its time was up, ContractError where it wrote more
    to a directory than that can hold, HostError and ImageError where it could not be run.
    """
    root = site.settings.root
    with trace.span("prepare"):
        program = require_program(site.settings.runtime)
        run = runs.begin(root)
        record = {**job.record, "started": runs.timestamp()}
        run.write_record({**record, "state": "running", "process": os.getpid()})
        _reserve(run)
    errors: list[ShimError] = []
    context = RunContext(
        name=f"{_prefix(root)}{run.number}",
        root=root,
        runtime=program,
        host=site.host,
        log=run.log,
        log_limit=site.settings.log_limit,
        console=site.console,
        ahead=job.ahead,
        meanwhile=lambda: _meanwhile(request, job, site),
        succeeded=lambda result: _collect_error(job, result, errors),
    )
    try:
        with files.held_directory(run.directory):
            outcome = _run(request, context, job.what)
    except BaseException as error:
        _record_failure(run, record, error, root=root)
        raise
    # The record is about the run: where it cannot be written, what the run did still counts.
    with trace.span("collect"), suppress(OSError):
        _record_end(run, {**record, **_outcome_fields(outcome)})
    if errors:
        with reading(run, outcome.result):
            raise errors[0]
    durations = ", ".join(f"{name} {value:.3f} s" for name, value in outcome.seconds.items())
    site.console.info(f"run {run.number}, {job.what}: {durations}")
    _raise_failure(outcome, job, run, request=request)
    return run, outcome
