"""Run a Request in a sandbox and return its Outcome."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from io import FileIO

from tweed_shim.base import files, trace
from tweed_shim.base.lean import json, signal
from tweed_shim.base.lean.typing import TYPE_CHECKING, Any
from tweed_shim.base.option_names import bare
from tweed_shim.base.records import Record, replace
from tweed_shim.errors import HostError
from tweed_shim.host import userns
from tweed_shim.runtime import cgroups, mounts, spec
from tweed_shim.runtime.console import Console
from tweed_shim.runtime.host import Host, require_program
from tweed_shim.runtime.hosts_file import HOST_FILE
from tweed_shim.runtime.options import DEFAULT_SECCOMP
from tweed_shim.runtime.request import BUNDLE_SIZE, MOST_FILES, RESULT_LIMIT, Mount, Outcome, Request
from tweed_shim.runtime.sandbox_process import SandboxProcess, StartError

if TYPE_CHECKING:
    from tweed_shim.runtime.io_loop import Events, IoLoop
    from tweed_shim.runtime.plan import (
        DiskLimit,
        InputVolume,
        OutputVolume,
        Plan,
        ReadableDirectory,
        RuntimeOptions,
    )
    from tweed_shim.runtime.sandbox_ahead import SandboxAhead
    from tweed_shim.runtime.session import Session
    from tweed_shim.runtime.streams import Feed, Log, Result, Sink

# Options of a mount that a user namespace may not drop when it binds the mount: mount_namespaces(7), "locked".
LOCKED_OPTIONS = {os.ST_NOEXEC: "noexec", os.ST_NOATIME: "noatime", os.ST_NODIRATIME: "nodiratime"}


class RunContext(Record):
    """Where a request is run.

    name: unique on this host. root: the store. runtime: the path of the OCI runtime. log: the path of the run's log.
    log_limit: what all logs of the store may take together, bytes; None where the log is not in a store.
    ahead: where the sandbox comes from that was started before the run; the next one is started within the run.
    meanwhile: called once, while the sandbox starts the container. succeeded: called with the result as soon as the
    program has ended with code 0, when signals do not interrupt the caller yet.
    """

    name: str
    root: str
    runtime: str
    host: Host
    log: str
    log_limit: int | None = None
    console: Console = Console()
    ahead: "SandboxAhead | None" = None
    meanwhile: Callable[[], None] = lambda: None
    succeeded: Callable[[bytes], None] = lambda _: None


def _feeds(plan: "Plan", stdin: bytes | None, pipes: Mapping[str, FileIO]) -> "list[Feed]":
    """Return what is written to the sandbox and to the container."""
    from tweed_shim.runtime.streams import Feed

    feeds = [Feed(pipes["plan"], json.dumps(plan).encode())]
    if stdin is not None:
        feeds.append(Feed(pipes["stdin"], stdin))
    return feeds


def _sources(
    request: Request, console: Console, *, pipes: Mapping[str, FileIO], log: "Log", result: "Result"
) -> "dict[int, list[Sink]]":
    """Return the sinks of each pipe that the container writes, by its descriptor."""
    from tweed_shim.runtime.streams import Shown

    def sinks(kind: str, shown: int | None) -> "list[Sink]":
        if kind == "result":
            return [result]
        if request.interactive:
            return [] if shown is None else [Shown(shown)]
        return [log] if shown is None else [log, Shown(shown)]

    sources = {}
    if request.terminal is None:
        sources[pipes["stdout"].fileno()] = sinks(request.stdout, console.stdout)
    if request.stderr != "stdout":
        sources[pipes["stderr"].fileno()] = sinks(request.stderr, console.stderr)
    return sources


def _events(plan: "Plan", sandbox: SandboxProcess, context: RunContext) -> "Events":
    """Return the callbacks of a run: its work meanwhile, and messages for a user who waits."""
    from tweed_shim.runtime.io_loop import GRACE, Events

    def report(message: str) -> None:
        if context.console.report is not None:
            context.console.report(message)

    def idle() -> None:
        if plan["cgroup"]:
            cgroups.expect_moves(sandbox.pid)
        context.meanwhile()
        if context.ahead is not None:
            context.ahead.start()

    def slow_end(number: int) -> None:
        from signal import Signals

        report(
            f"the image was sent {Signals(number).name}, and is killed if it does not end within {GRACE:g} s"
        )

    return Events(idle, lambda: report("the image has ended; what it wrote is brought to the disk"), slow_end)


def _sandbox(context: RunContext, *, terminal: bool) -> SandboxProcess:
    """Return the sandbox of a run, which may have been started ahead."""
    if context.ahead is not None and not terminal:
        return context.ahead.take()
    return SandboxProcess(context.host.ids, terminal=terminal)


def _run_once(request: Request, context: RunContext, overlay: str) -> Outcome:
    begun = time.monotonic()
    with trace.span("prepare"):
        plan = _plan(request, context, overlay)
    with (
        trace.span("run"),
        context.console.catching() as signals,
        _sandbox(context, terminal=plan["terminal"]) as sandbox,
        ExitStack() as stack,
    ):
        # The sandbox takes 3 ms to make its namespaces. What is needed from here on is imported at the same time, so
        # that nothing waits for it: 0.3 ms of a warm run.
        from tweed_shim.runtime.io_loop import IoLoop
        from tweed_shim.runtime.streams import Log, Result

        log, result = Log(context.log, limit=context.log_limit), Result(RESULT_LIMIT)
        feeds = _feeds(plan, request.stdin, sandbox.pipes)
        sources = _sources(request, context.console, pipes=sandbox.pipes, log=log, result=result)
        events, session = _events(plan, sandbox, context), None
        if request.interactive:
            session = stack.enter_context(_session(request, context.console, sandbox))
        loop = IoLoop(sandbox, sources, feeds, signals=signals, events=events, session=session)
        try:
            loop.run(request.options.timeout, request.stop_signal)
        except StartError as fault:
            fault.is_late = sandbox.started is not None
            raise
        finally:
            log.close()
        ended = time.monotonic()
        if sandbox.keep_fault:
            context.console.warn(f"not all of what the run wrote could be kept ({sandbox.keep_fault})")
        if sandbox.status == 0 and not loop.sent and not result.overflow:
            context.succeeded(result.value())
    if sandbox.status is None and not loop.sent and not result.overflow:
        failure = HostError(
            "the run's sandbox was ended from outside, perhaps for want of memory; run it again"
        )
        failure.killed = True
        raise failure
    started = sandbox.started or ended
    return _outcome(sandbox, loop, result, seconds={"start": started - begun, "run": ended - started})


def _session(
    request: Request, console: Console, sandbox: SandboxProcess
) -> "AbstractContextManager[Session]":
    """Return a context manager that yields the streams of an interactive run."""
    from tweed_shim.runtime import session
    from tweed_shim.runtime.streams import Shown

    shown = None if request.terminal is None or console.stdout is None else Shown(console.stdout)
    return session.closed(session.Session(console.stdin, sandbox.pipes, shown))


def _outcome(
    sandbox: SandboxProcess, loop: "IoLoop", result: "Result", *, seconds: dict[str, float]
) -> Outcome:
    code = None if sandbox.status is None else os.waitstatus_to_exitcode(sandbox.status)
    ended_by = signal.SIGKILL if code is None else -code if code < 0 else None
    return Outcome(
        exit_code=None if ended_by or loop.sent else code,
        signal=loop.sent or ended_by,
        result=result.value(),
        overflow=result.overflow,
        timed_out=loop.timed_out,
        killed=loop.killed,
        oom=sandbox.oom,
        full=sandbox.full,
        seconds=seconds,
    )


def bundle_directory(root: str) -> str:
    """Return the directory of a store on which each sandbox mounts its bundle; nobody else sees what is mounted."""
    return os.path.join(root, "scratch")


def locked_options(source: str) -> tuple[str, ...]:
    """Return those options of the mount of a path that a user namespace may not drop. Raises OSError."""
    flags = os.statvfs(source).f_flag
    options = [name for flag, name in LOCKED_OPTIONS.items() if flags & flag]
    if not flags & (os.ST_NOATIME | os.ST_RELATIME):
        options.append("strictatime")
    return tuple(options)


def _with_locked_options(mount: Mount) -> Mount:
    return replace(mount, locked_options=locked_options(mount.source))


def _plan(request: Request, context: RunContext, overlay: str) -> "Plan":
    """Return the plan of a run. overlay: as in Plan."""
    bundle = files.make_private(bundle_directory(context.root))
    host = context.host
    if host.ids.kind != "host":
        request = replace(request, mounts=tuple(map(_with_locked_options, request.mounts)))
    config = spec.generate(request, host, bundle=bundle, name=context.name, writable_root=bool(overlay))
    top, user = _owners(request)
    ids, network = request.security.userns, request.options.network
    return {
        "id": context.name,
        "userns": host.ids.kind != "host",
        "terminal": request.terminal is not None,
        "stdin": request.stdin is not None or (request.interactive and request.terminal is None),
        "joined": request.stderr == "stdout",
        "bundle": bundle,
        "bundle_size": BUNDLE_SIZE,
        "lower": request.rootfs,
        "overlay": overlay,
        "config": json.dumps(config),
        "mount_points": [(mount["destination"], mount["type"]) for mount in config["mounts"]],
        "top": top,
        "user": user,
        "stored_user": (request.process.uid, request.process.gid),
        "hosts": "" if network == "none" else HOST_FILE,
        "sys": spec.shows_host_sys(request, host),
        "inputs": _input_volume(request),
        "outputs": _output_volume(request),
        "writable": [
            {"directory": each.source, "destination": each.destination, "kept": each.kept}
            for each in request.mounts
            if each.writable
        ],
        "readable": _readable(request),
        "disk_limits": _disk_limits(request),
        "runtime": context.runtime,
        "keep": request.keep,
        "shift": _script("idmapped_mount.py", bundle, *_map_texts(ids)) if ids else [],
        "pasta": _script("pasta.py", require_program("pasta"), bundle) if network == "pasta" else [],
        "cgroup": host.cgroups.path(context.name).lstrip("/") if "cgroupsPath" in config["linux"] else "",
        **_runtime_options(request, context, config),
    }


def _runtime_options(request: Request, context: RunContext, config: Mapping[str, Any]) -> "RuntimeOptions":
    """Return the options of the runtime, and of its command `run`, that this host needs."""
    options: list[str] = []
    if context.host.ids.kind == "host" and "cgroupsPath" not in config["linux"]:
        # As root a runtime makes a control group, and fails where it cannot, unless an option says to expect none.
        crun = "crun" in os.path.basename(context.runtime)
        options = ["--cgroup-manager", "disabled"] if crun else ["--rootless", "true"]
    # The profile refuses every call that reaches a key, and a new keyring takes from the caller's quota: keyrings(7).
    # A runtime that joins one also fails where the filter of an outer container refuses keyctl(2).
    keyring = ["--no-new-keyring"] if request.security.seccomp == DEFAULT_SECCOMP else []
    return {"runtime_options": options, "run_options": keyring}


def _input_volume(request: Request) -> "InputVolume | None":
    if request.inputs is None:
        return None
    contents = {name: data.decode("latin-1") for name, data in request.inputs.files.items()}
    return {"files": contents, "host_files": dict(request.inputs.host_files)}


def _output_volume(request: Request) -> "OutputVolume | None":
    volume = request.outputs
    if volume is None:
        return None
    return {
        "directory": volume.directory,
        "names": list(volume.names),
        "every": volume.every,
        "limit": volume.limit,
    }


def _readable(request: Request) -> "list[ReadableDirectory]":
    """Return the directories that are to be readable for the container's user."""
    return [
        {"directory": each.source, "destination": each.destination, "name": name, "copied": False}
        for number, each in enumerate(request.mounts)
        if (name := spec.readable_name(number, each))
    ]


def _disk_limits(request: Request) -> "list[DiskLimit]":
    """Return the limits of the writable directories: one for all that share `keep_limit`, and one for each other."""
    writable = [mount for mount in request.mounts if mount.writable]
    sharing = [mount for mount in writable if mount.limit is None]
    groups = [(request.keep_limit, sharing)] if sharing else []
    groups += [(mount.limit, [mount]) for mount in writable if mount.limit is not None]
    return [
        {
            "directories": {mount.destination: mount.source for mount in group},
            "limit": limit,
            "files": MOST_FILES,
            "kept": any(mount.kept for mount in group),
        }
        for limit, group in groups
    ]


def _owners(request: Request) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return uid and gid of the container's root and of its user, as the sandbox sees them."""
    ids = request.security.userns
    if ids is None:
        return (0, 0), (request.process.uid, request.process.gid)
    top, user = (
        (userns.to_host(ids.uids, uid), userns.to_host(ids.gids, gid))
        for uid, gid in ((0, 0), (request.process.uid, request.process.gid))
    )
    return top, user


def _map_texts(ids: userns.IdMap) -> tuple[str, str]:
    """Return the lines of uid_map and gid_map: user_namespaces(7)."""
    uids, gids = ("".join(f"{each}\n" for each in ranges) for ranges in (ids.uids, ids.gids))
    return uids, gids


def _script(name: str, *arguments: str) -> list[str]:
    """Return the command of one of the scripts that stand alone beside this file."""
    from tweed_shim.host import interpreter

    path = os.path.join(interpreter.source_directory(), "tweed_shim", "runtime", name)
    return [interpreter.find(), "-I", "-S", path, *arguments]


def run(request: Request, context: RunContext) -> Outcome:
    """Run a request and wait for its end.

    Where the host cannot have the writable layer on a tmpfs it is put on disk. Where there is no overlay at all the
    root is read-only, and the console gets a warning.

    Raises HostError where the host cannot run it, ImageError where the image's program cannot be started.
    """
    with suppress(FileNotFoundError):
        os.unlink(context.log)
    if spec.has_cgroup(request.options.limits, context.host):
        cgroups.enable_controllers(context.host.cgroups)
    if request.options.limits.memory is not None and not context.host.cgroups.swap and cgroups.is_swapping():
        context.console.warn(
            f"this host's kernel cannot limit swap space, so that the run can use more of it than {bare('--memory')} "
            "says; turn it off (swapoff -a), or start the host with swapaccount=1"
        )
    try:
        if request.options.scratch is not None:
            with _scratch_directory(context, request.options.scratch) as directory:
                return _run_once(request, context, directory)
        return _run_with_any_overlay(request, context)
    except StartError as failure:
        from tweed_shim.runtime import start_failures

        explained = start_failures.explain(failure, request, context.host)
        explained.never_ran = not failure.is_late
        raise explained from failure


@contextmanager
def _scratch_directory(context: RunContext, scratch: str) -> Iterator[str]:
    """Yield a directory for one run in the one that --scratch names. Raises HostError where none can be made."""
    # Imported here because only few runs have one.
    from tweed_shim.runtime import scratch_directories

    with ExitStack() as stack:
        try:
            path = stack.enter_context(scratch_directories.directory(context.root, scratch, context.host.ids))
        except OSError as error:
            raise HostError(
                f"the scratch {scratch!r} cannot be used ({error.strerror}); name a directory that you may write"
            ) from error
        yield path


def _run_with_any_overlay(request: Request, context: RunContext) -> Outcome:
    """Run with the upper layer on a tmpfs, else on disk, else with a read-only root."""
    # Before Linux 6.6 an overlay on a tmpfs fails in a user namespace, so no sandbox is made only to see that.
    if context.host.ids.kind == "host" or mounts.tmpfs_has_user_attributes():
        try:
            return _run_once(request, context, "tmpfs")
        except StartError as failure:
            if failure.stage != "overlay":
                raise
    from tweed_shim.host import workdirs

    try:
        with workdirs.directory(workdirs.tmp_directory(context.root), context.host.ids) as directory:
            return _run_once(request, context, directory)
    except StartError as failure:
        if failure.stage != "overlay":
            raise
    context.console.warn(
        "this host has no overlay file system for the store; the image's root is read-only but for /tmp and /run"
    )
    return _run_once(request, context, "")
