"""Run a Request in a sandbox and give its Outcome."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from io import FileIO

from tweed_shim import files, idmap, trace
from tweed_shim.errors import HostError, ImageError, ShimError
from tweed_shim.lean import json, signal
from tweed_shim.lean.typing import TYPE_CHECKING, Any, TypedDict
from tweed_shim.option_names import bare, option
from tweed_shim.option_values import checks, descriptor, function, optional, shown
from tweed_shim.records import Record, replace
from tweed_shim.runtime import cgroups, mounts, sandbox, spec, working_directory
from tweed_shim.runtime.host import Host, require_program
from tweed_shim.runtime.hosts_file import HOST_FILE
from tweed_shim.runtime.keeper import Keeper, StartError
from tweed_shim.runtime.request import DEFAULT_SECCOMP, RESULT_LIMIT, Mount, Outcome, Request

if TYPE_CHECKING:
    from tweed_shim.runtime.streams import Feed, Log, Result, Sink

SCRATCH_SIZE = 1 << 30
LOCKED_OPTIONS = {os.ST_NOEXEC: "noexec", os.ST_NOATIME: "noatime", os.ST_NODIRATIME: "nodiratime"}


class Console(Record):
    """The user's side of a run.

    stdout and stderr: the descriptors that an image's diagnostics are shown on, None for nowhere. catching: a
    context in which the container runs; what it yields is a descriptor from which the numbers of signals to pass
    on are read, a byte each, or None. warn: takes sentences for the user; info: those for the curious; report: the
    steps of long work, None for no interest in them.
    """

    stdout: int | None = None
    stderr: int | None = None
    catching: Callable[[], AbstractContextManager[int | None]] = nullcontext
    warn: Callable[[str], None] = lambda _: None
    info: Callable[[str], None] = lambda _: None
    report: Callable[[str], None] | None = None

    CHECKS = checks(
        stdout=optional(descriptor),
        stderr=optional(descriptor),
        **dict.fromkeys(("catching", "warn", "info"), function),
        report=optional(function),
    )


class Setting(Record):
    """Where a request is run.

    name: unique on this host. root: the store. runtime: the path of the OCI runtime. log: the path of the run's log.
    log_limit: what all logs of the store may take together, bytes; None where it is no log of a store.
    scratch: a directory on disk for what the image writes to its root, None for a tmpfs of at most `SCRATCH_SIZE`
    bytes. meanwhile: called once the container is on its way. succeeded: takes the result as soon as the program has
    ended with code 0, when signals do not interrupt the caller yet.
    """

    name: str
    root: str
    runtime: str
    host: Host
    log: str
    log_limit: int | None = None
    console: Console = Console()
    scratch: str | None = None
    meanwhile: Callable[[], None] = lambda: None
    succeeded: Callable[[bytes], None] = lambda _: None


def _feeds(plan: sandbox.Plan, stdin: bytes | None, pipes: Mapping[str, FileIO]) -> "list[Feed]":
    """Return what is written to the sandbox and to the container."""
    from tweed_shim.runtime.streams import Feed

    feeds = [Feed(pipes["plan"], json.dumps(plan).encode())]
    if stdin is not None:
        feeds.append(Feed(pipes["stdin"], stdin))
    return feeds


def _sources(
    request: Request, setting: Setting, pipes: Mapping[str, FileIO], log: "Log", result: "Result"
) -> "dict[int, list[Sink]]":
    """Return what takes the bytes of each pipe of the container, by its descriptor."""
    from tweed_shim.runtime.streams import Shown

    def sinks(kind: str, shown: int | None) -> "list[Sink]":
        if kind == "result":
            return [result]
        return [log] if shown is None else [log, Shown(shown)]

    sources = {pipes["stdout"].fileno(): sinks(request.stdout, setting.console.stdout)}
    if request.stderr != "stdout":
        sources[pipes["stderr"].fileno()] = sinks(request.stderr, setting.console.stderr)
    return sources


def _run_once(request: Request, setting: Setting, overlay: str) -> Outcome:
    begun = time.monotonic()
    with trace.span("prepare"):
        plan = _plan(request, setting, overlay)
    with trace.span("run"), setting.console.catching() as signals, Keeper(setting.host.ids) as keeper:
        # The sandbox takes 3 ms to make its namespaces. What is needed from here on is imported at the same time, so
        # that nothing waits for it: 0.3 ms of a warm run.
        from tweed_shim.runtime.carrier import GRACE, Carrier
        from tweed_shim.runtime.streams import Log, Result

        log, result = Log(setting.log, limit=setting.log_limit), Result(RESULT_LIMIT)
        feeds = _feeds(plan, request.stdin, keeper.pipes)
        sources = _sources(request, setting, keeper.pipes, log, result)

        def meanwhile() -> None:
            if plan["cgroup"]:
                cgroups.expect_moves(keeper.pid)
            setting.meanwhile()

        def keeping() -> None:
            if setting.console.report is not None:
                setting.console.report("the image has ended; what it wrote is brought to the disk")

        def asking(number: int) -> None:
            if setting.console.report is not None:
                from signal import Signals

                setting.console.report(
                    f"the image was sent {Signals(number).name}, and is killed if it does not end within {GRACE:g} s"
                )

        carrier = Carrier(keeper, sources, feeds, signals, meanwhile, keeping, asking)
        try:
            carrier.carry(request.timeout, request.stop_signal)
        finally:
            log.close()
        ended = time.monotonic()
        if keeper.status == 0 and not carrier.asked and not result.overflow:
            setting.succeeded(result.value())
    if keeper.status is None and not carrier.asked and not result.overflow:
        raise HostError("the run's sandbox was ended from outside, perhaps for want of memory; run it again")
    code = None if keeper.status is None else os.waitstatus_to_exitcode(keeper.status)
    killed = signal.SIGKILL if code is None else -code if code < 0 else None
    begun_running = keeper.started or ended
    return Outcome(
        exit_code=None if killed or carrier.asked else code,
        signal=carrier.asked or killed,
        result=result.value(),
        overflow=result.overflow,
        timed_out=carrier.timed_out,
        killed=carrier.killed,
        oom=keeper.oom,
        full=keeper.full,
        seconds={"start": begun_running - begun, "run": ended - begun_running},
    )


def _keeping(mount: Mount) -> Mount:
    flags = os.statvfs(mount.source).f_flag
    keeps = [name for flag, name in LOCKED_OPTIONS.items() if flags & flag]
    if not flags & (os.ST_NOATIME | os.ST_RELATIME):
        keeps.append("strictatime")
    return replace(mount, keeps=tuple(keeps))


def _plan(request: Request, setting: Setting, overlay: str) -> sandbox.Plan:
    place = files.make_private(os.path.join(setting.root, "scratch"))
    host = setting.host
    if host.ids.kind != "host":
        request = replace(request, mounts=tuple(map(_keeping, request.mounts)))
    config = spec.generate(request, host, scratch=place, name=setting.name, writable_root=bool(overlay))
    kept = [mount.source for mount in request.mounts if mount.writable]
    top, user = _owners(request)
    return {
        "id": setting.name,
        "userns": host.ids.kind != "host",
        "stdin": request.stdin is not None,
        "joined": request.stderr == "stdout",
        "scratch": place,
        "scratch_size": SCRATCH_SIZE,
        "lower": request.rootfs,
        "overlay": overlay,
        "config": json.dumps(config),
        "mount_points": [(mount["destination"], mount["type"]) for mount in config["mounts"]],
        "top": top,
        "user": user,
        "keep_limit": request.keep_limit,
        "kept": kept,
        "hosts": "" if request.network == "none" else HOST_FILE,
        "sys": spec.shows_host_sys(request, host),
        "given": _given(request),
        "made": _made(request),
        "runtime": setting.runtime,
        "shift": _script("shifted.py", place, *_map_texts(request.userns)) if request.userns else [],
        "pasta": _script("pasta.py", require_program("pasta"), place) if request.network == "pasta" else [],
        "cgroup": host.cgroups.path(setting.name).lstrip("/") if "cgroupsPath" in config["linux"] else "",
        **_runtime_options(request, setting, config),
    }


class _RuntimeOptions(TypedDict):
    runtime_options: list[str]
    run_options: list[str]


def _runtime_options(request: Request, setting: Setting, config: Mapping[str, Any]) -> _RuntimeOptions:
    """The options of the runtime, and of its command `run`, that this host needs."""
    options: list[str] = []
    if setting.host.ids.kind == "host" and "cgroupsPath" not in config["linux"]:
        # As root a runtime makes a control group, and fails where it cannot, unless it is told not to expect one.
        crun = "crun" in os.path.basename(setting.runtime)
        options = ["--cgroup-manager", "disabled"] if crun else ["--rootless", "true"]
    # The profile refuses every call that reaches a key, and a new keyring takes from the caller's quota: keyrings(7).
    # A runtime that joins one also fails where the filter of an outer container refuses keyctl(2).
    keyring = ["--no-new-keyring"] if request.seccomp == DEFAULT_SECCOMP else []
    return {"runtime_options": options, "run_options": keyring}


def _given(request: Request) -> sandbox.Given | None:
    if request.given is None:
        return None
    files = {name: data.decode("latin-1") for name, data in request.given.files.items()}
    return {"files": files, "shown": dict(request.given.shown)}


def _made(request: Request) -> sandbox.Made | None:
    made = request.made
    if made is None:
        return None
    return {"place": made.place, "names": list(made.names), "every": made.every, "limit": made.limit}


def _owners(request: Request) -> tuple[tuple[int, int], tuple[int, int]]:
    """The ids that the container's root and its user have where the sandbox is."""
    ids = request.userns
    if ids is None:
        return (0, 0), (request.uid, request.gid)
    top, user = (
        (idmap.to_host(ids.uids, uid), idmap.to_host(ids.gids, gid))
        for uid, gid in ((0, 0), (request.uid, request.gid))
    )
    return top, user


def _map_texts(ids: idmap.IdMap) -> tuple[str, str]:
    """The lines of uid_map and gid_map: user_namespaces(7)."""
    uids, gids = ("".join(f"{each}\n" for each in ranges) for ranges in (ids.uids, ids.gids))
    return uids, gids


def _script(name: str, *arguments: str) -> list[str]:
    """The command of one of the scripts that stand alone beside this file."""
    from tweed_shim import interpreter

    path = os.path.join(interpreter.source_directory(), "tweed_shim", "runtime", name)
    return [interpreter.find(), "-I", "-S", path, *arguments]


def _start_failure(failure: StartError, request: Request, host: Host) -> ShimError:
    from tweed_shim import host_faults, resource_limits

    program = request.args[0]
    if failure.stage == "open files":
        return HostError(resource_limits.open_files())
    if failure.stage == "memory":
        return HostError(resource_limits.memory())
    if failure.stage == "start" and str(failure) == sandbox.NO_REASON and resource_limits.has_memory_limit():
        # A Go program reserves more addresses than it will use, and a crash of its own is not in its log.
        return HostError(f"the runtime gave no reason why it ended, so perhaps {resource_limits.memory()}")
    mends = {
        "ids": host_faults.ids_remedy() if failure.stage == "ids" else "",
        "namespace": host_faults.namespace_remedy(host_root=host.ids.kind == "host"),
        "proc": host_faults.MASKED_PROC,
        "shift": f"{bare('--userns')} needs Linux 5.19 or newer, and a store on a file system that can show other ids, "
        "such as ext4, xfs or btrfs",
        "overlay": f"no writable layer can be kept there: leave {bare('--scratch')} out, or name a directory on ext4, "
        "xfs or btrfs",
        "sys": f"give the container a network of its own with {option('--network', 'none')} or pasta",
        "scratch": f"free some memory, or name a directory on disk with {option('--scratch')}",
        "killed": "run it again",
        "network": "pasta needs a /dev/net/tun that everybody may open (mode 0666) and a default route",
        "keep": "free some disk space and run it again",
    }
    if failure.stage == "start" and (words := host_faults.of_runtime(str(failure))):
        return HostError(f"the runtime could not start a container ({failure}): {words}")
    if failure.stage == "start" and working_directory.is_blamed(str(failure), request.cwd):
        return ImageError(
            f"the working directory {shown(request.cwd)} of the image cannot be used ({failure}); "
            f"{working_directory.REMEDY}"
        )
    if failure.stage == "start":
        return ImageError(f"the runtime could not start '{program}' of the image: {failure}")
    if failure.stage == "image":
        return ImageError(str(failure))
    mend = mends.get(failure.stage, "run it again with -v, and report it if it stays")
    return HostError(f"the run's sandbox could not be made ({failure.stage}: {failure}); {mend}")


def run(request: Request, setting: Setting) -> Outcome:
    """Run a request and wait for its end.

    Where the host cannot have the writable layer on a tmpfs it is put on disk, and where there is no overlay at
    all the root is read-only; the console is told of the latter.

    Raises HostError where the host cannot run it, ImageError where the image's program cannot be started.
    """
    with suppress(FileNotFoundError):
        os.unlink(setting.log)
    if spec.has_cgroup(request.limits, setting.host):
        cgroups.make_room(setting.host.cgroups)
    if request.limits.memory is not None and not setting.host.cgroups.swap and cgroups.is_swapping():
        setting.console.warn(
            f"this host's kernel cannot limit swap space, so that the run can use more of it than {bare('--memory')} "
            "says; turn it off (swapoff -a), or start the host with swapaccount=1"
        )
    try:
        if setting.scratch is not None:
            with _chosen_scratch(setting, setting.scratch) as directory:
                return _run_once(request, setting, directory)
        return _run_with_any_overlay(request, setting)
    except StartError as failure:
        raise _start_failure(failure, request, setting.host) from failure


@contextmanager
def _chosen_scratch(setting: Setting, place: str) -> Iterator[str]:
    """A directory for one run where the user wants it. Raises HostError where none can be made."""
    # Only few runs have one.
    from tweed_shim.runtime import scratch_directories

    with ExitStack() as stack:
        try:
            directory = stack.enter_context(
                scratch_directories.directory(setting.root, place, setting.host.ids)
            )
        except OSError as error:
            raise HostError(
                f"the scratch {place!r} cannot be used ({error.strerror}); name a directory that you may write"
            ) from error
        yield directory


def _run_with_any_overlay(request: Request, setting: Setting) -> Outcome:
    # Where the answer is known, as before Linux 6.6, no sandbox is made only to find it out.
    if setting.host.ids.kind == "host" or mounts.tmpfs_has_user_attributes():
        try:
            return _run_once(request, setting, "tmpfs")
        except StartError as failure:
            if failure.stage != "overlay":
                raise
    from tweed_shim import scratch

    try:
        with scratch.directory(scratch.place(setting.root), setting.host.ids) as directory:
            return _run_once(request, setting, directory)
    except StartError as failure:
        if failure.stage != "overlay":
            raise
    setting.console.warn(
        "this host has no overlay file system for the store; the image's root is read-only but for /tmp and /run"
    )
    return _run_once(request, setting, "")
