"""The private namespaces that a run lives in, and their first process.

The shim starts a *keeper*, which makes the mount, process and, where asked for, user namespace. The keeper's
child is process 1 of them: it waits for the plan, mounts the scratch and the root filesystem, has the OCI runtime
start the container, and waits for it. When the shim, the keeper or process 1 ends, in whatever way, the kernel ends
everything inside of the namespaces and throws the mounts away: nobody needs to clean up.

This file, with those that it imports, stands alone on the standard library, because it is entered in two ways: by
`enter`, after a plain fork, from a process with one thread; and as a program (`python -I -S`, see `command`), from a
process with more, where forking Python code could deadlock. Both speak the same lines of JSON: reports on descriptor 3,
commands on descriptor 4; descriptor 5 holds the plan. Descriptors 0, 1 and 2 are the container's.

    reports    {"userns": true}                 map my ids, then send "mapped"
               {"started": PID, "times": [T, T, T]}     the container runs; see keeper.py for the times
               {"failed": STAGE, "error": TEXT, "errno": N|null}
               {"exited": WAIT_STATUS, "oom": BOOL, "full": BOOL, "times": [T, T]}
    commands   mapped, {"signal": N}
"""

import fcntl
import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tweed_shim.children import INHERITED_SIGNALS
from tweed_shim.errors import ImageError
from tweed_shim.lean import json, signal
from tweed_shim.lean.typing import NoReturn, TypedDict
from tweed_shim.runtime import hosts_file, kernel, mount_points, mounts, waiting
from tweed_shim.runtime.waiting import COMMANDS, READ

REPORTS, PLAN = 3, 5
# A soft limit that was lowered says nothing of the descriptors that were open before.
HIGHEST_DESCRIPTOR = 1 << 16
NO_REASON = "it gave no reason"
# The stages in which the runtime may have made a control group.
AFTER_RUNTIME = ("start", "killed", "keep")
# See pasta.py, which stands alone.
KILLED = b"killed by signal "
# What the runtime complains of after the complaint that matters.
CLEANING_UP = ("Failed to remove", "failed to remove")
# Without the search for packages, which takes half as long as Python's own start.
SCRIPT = (
    "import sys; sys.path.append(sys.argv.pop(1)); from tweed_shim.runtime import sandbox; sandbox.main()"
)


class Given(TypedDict):
    """A directory in memory that the container finds `files` in, each letter of them a byte, and host files `shown`."""

    files: dict[str, str]
    shown: dict[str, str]


class Made(TypedDict):
    """A directory in memory that the container writes to; see `exchange.keep` for what is kept of it, in `place`."""

    place: str
    names: list[str]
    every: bool
    limit: int


class Plan(TypedDict):
    """A run, described for process 1. Paths are absolute, sizes are bytes."""

    id: str
    userns: bool
    stdin: bool  # whether the container reads descriptor 0, or nothing
    joined: bool  # whether its stderr is its stdout
    scratch: str  # an empty directory that the private tmpfs is mounted on
    scratch_size: int
    lower: str  # the unpacked image
    overlay: str  # where its upper layer is: "tmpfs", a directory on disk, or "" for a read-only root
    config: str  # the text of config.json; its root path is "rootfs" and the bundle is the scratch
    mount_points: list[
        tuple[str, str]
    ]  # the destinations of its mounts in their order, each with the mount's type
    top: tuple[int, int]  # uid and gid of the container's root
    user: tuple[int, int]  # uid and gid of its user
    hosts: str  # the host's file that SCRATCH/hosts, the container's /etc/hosts, begins with, or ""
    sys: bool  # whether SCRATCH/sys is the host's /sys, read-only
    given: Given | None  # SCRATCH/given, for the user to read
    made: Made | None  # SCRATCH/made, for the user to write
    keep_limit: int  # the most bytes in the directories of `kept`; see kept_size.py
    kept: list[str]  # directories that are the user's, and on disk before a success is reported
    runtime: str
    runtime_options: list[str]  # options of the runtime
    run_options: list[str]  # options of its command `run`
    shift: list[str]  # the program that shows the store with other ids (shifted.py), or nothing
    pasta: list[str]  # the program that connects the network namespace `SCRATCH/netns`, or nothing
    cgroup: str  # below each cgroup hierarchy, or "" where none can be made


class _StageError(Exception):
    def __init__(self, stage: str, message: str, number: int | None = None) -> None:
        super().__init__(message)
        self.stage = stage
        self.number = number


@contextmanager
def _stage(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _StageError(name, str(error), error.errno) from error


def _report(**message: object) -> None:
    os.write(REPORTS, json.dumps(message).encode() + b"\n")


def _become_first(commands: waiting.Commands, *, userns: bool) -> None:
    try:
        with _stage("namespace"):
            kernel.die_with_parent()
            os.umask(0)
            kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
        with _stage("proc"):
            kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    finally:
        # Until it is mapped, a user namespace has nobody whom a file could belong to; and the shim, which maps it, is
        # not to find that there is nobody left.
        if userns:
            commands.line()


def _told_plan() -> Plan:
    """Wait for the plan. Ends this process when the shim is gone."""
    message = bytearray()
    while data := os.read(PLAN, READ):
        message += data
    os.close(PLAN)
    if not message:
        os._exit(0)
    plan: Plan = json.loads(message)
    return plan


def _arrange_streams(plan: Plan) -> None:
    if not plan["stdin"]:
        quiet = os.open("/dev/null", os.O_RDONLY)
        os.dup2(quiet, 0)
        os.close(quiet)
    if plan["joined"]:
        os.dup2(1, 2)
    # A program may open /dev/stdout or /dev/stderr once more. runc gives the pipes to the container's user, but in a
    # user namespace of the container's own it may not: there they belong to an id that the namespace does not have.
    for fd in (0, 1, 2):
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            with _stage("streams"):
                os.fchown(fd, *plan["user"])


def _prepare(plan: Plan) -> None:
    """Mount the scratch, what the container is given in it, and the container's root."""
    if not plan["cgroup"]:
        with _stage("namespace"):
            # A runtime that sees the caller's control group makes one beside it, which nobody would remove.
            kernel.unshare(kernel.CLONE_NEWCGROUP)
    if plan["shift"]:
        if os.path.isabs(plan["overlay"]):
            plan["overlay"] = _as_it_is(plan["overlay"])
        if plan["made"]:
            plan["made"]["place"] = _as_it_is(plan["made"]["place"])
        _shift_ids(plan["shift"])
    _make_scratch(plan)
    scratch = plan["scratch"]
    root = os.path.join(scratch, "rootfs")
    with _stage("overlay"):
        if plan["overlay"]:
            place = scratch if plan["overlay"] == "tmpfs" else plan["overlay"]
            mounts.mount_overlay(root, plan["lower"], place, userns=plan["userns"])
        else:
            mounts.assemble_read_only(root, plan["lower"], _checked_mount_points(plan, plan["lower"]))
    _checked_mount_points(plan, root)


def _make_scratch(plan: Plan) -> None:
    """Mount the scratch, and make in it the bundle and the directories that are the container's."""
    scratch = plan["scratch"]
    with _stage("scratch"):
        uid, gid = plan["top"]
        size = f"size={plan['scratch_size']},mode=0700,uid={uid},gid={gid}"
        kernel.mount("tmpfs", scratch, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, size)
        for name in ("rootfs", "home", "state"):
            os.mkdir(os.path.join(scratch, name), 0o700)
        os.chown(os.path.join(scratch, "home"), *plan["user"])
        with open(os.path.join(scratch, "config.json"), "w", encoding="utf-8") as file:
            file.write(plan["config"])
        hosts_file.write(os.path.join(scratch, "hosts"), plan["hosts"])
    if plan["sys"]:
        with _stage("sys"):
            mounts.show_sys(os.path.join(scratch, "sys"))
    with _stage("directory"):
        for path in plan["kept"]:
            os.chown(path, *plan["user"])
        if plan["given"]:
            from tweed_shim.runtime import exchange

            exchange.give(os.path.join(scratch, "given"), **plan["given"], user=plan["user"])
        if plan["made"]:
            from tweed_shim.runtime import exchange

            exchange.make_directory(os.path.join(scratch, "made"), plan["user"])


def _checked_mount_points(plan: Plan, root: str) -> list[str]:
    """Check a root directory as the runtime will find it; see `mount_points.check`."""
    try:
        return mount_points.check(root, plan["mount_points"], "the image")
    except ImageError as error:
        raise _StageError("image", str(error)) from error


def _as_it_is(directory: str) -> str:
    """A path to a directory with the host's ids, however it is shown from now on."""
    return f"/proc/self/fd/{os.open(directory, os.O_PATH | os.O_DIRECTORY)}"


def _shift_ids(program: list[str]) -> None:
    told, tell = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, tell, 2)]
    script = os.posix_spawn(program[0], program, {}, file_actions=actions, setsigdef=INHERITED_SIGNALS)
    os.close(tell)
    with open(told, encoding="utf-8", errors="replace") as file:
        said = file.read().strip()
    status = os.waitpid(script, 0)[1]
    _check_killed(status, "the program that shows the store with other ids")
    if status != 0:
        raise _StageError("shift", said.rpartition("\n")[2] or NO_REASON)


def _check_killed(status: int, program: str) -> None:
    """Raise _StageError where a program was ended by a signal: that is nobody's fault whom its task could name."""
    if os.WIFSIGNALED(status):
        raise _StageError("killed", f"{program} was ended by signal {os.WTERMSIG(status)}")


def _connect_network(plan: Plan) -> None:
    """Start what holds the network namespace (pasta.py), and wait until it is connected."""
    told, tell = os.pipe()
    os.posix_spawn(
        plan["pasta"][0],
        plan["pasta"],
        {"PATH": os.environ.get("PATH", os.defpath)},
        file_actions=[(os.POSIX_SPAWN_DUP2, tell, 1), (os.POSIX_SPAWN_DUP2, tell, 2)],
        setsigmask=[],
        setsigdef=INHERITED_SIGNALS,
    )
    os.close(tell)
    said = bytearray()
    while not said.endswith(b"\n") and (data := os.read(told, 4096)):
        said += data
    os.close(told)
    if said.startswith(KILLED):
        raise _StageError("killed", f"pasta was ended by signal {said[len(KILLED) :].decode().strip()}")
    if said != b"ready\n":
        raise _StageError("network", said.decode(errors="replace").strip() or NO_REASON)


def _runtime_error(scratch: str) -> str:
    """What the runtime wrote last in its log, without the words that each of its messages begins with."""
    message = ""
    try:
        with open(os.path.join(scratch, "runtime.log"), encoding="utf-8", errors="replace") as file:
            for line in file:
                entry = json.loads(line)
                if entry.get("level") in ("error", "fatal") and not entry.get("msg", "").startswith(
                    CLEANING_UP
                ):
                    message = entry["msg"]
    except (OSError, ValueError, AttributeError, KeyError):
        pass
    return message or NO_REASON


def _environment(runtime: str) -> dict[str, str]:
    # runc is done before its garbage is worth looking for.
    collecting = {"GOGC": "off"} if os.path.basename(runtime) == "runc" else {}
    return {"PATH": os.environ.get("PATH", os.defpath), **collecting}


def _state(plan: Plan) -> str:
    return os.path.join(plan["scratch"], "state")


def _start_container(plan: Plan) -> int:
    """Have the runtime start the container, which keeps descriptors 0, 1 and 2; returns its process id."""
    scratch = plan["scratch"]
    pid_file = os.path.join(scratch, "pid")
    log = os.path.join(scratch, "runtime.log")
    options = ["--root", _state(plan), "--log", log, "--log-format", "json", *plan["runtime_options"]]
    run = ["run", "--detach", *plan["run_options"], "--pid-file", pid_file, "--bundle", scratch, plan["id"]]
    with _stage("runtime"):
        runtime = os.posix_spawn(
            plan["runtime"],
            [plan["runtime"], *options, *run],
            _environment(plan["runtime"]),
            setsigmask=[],
            setsigdef=INHERITED_SIGNALS,
        )
        quiet = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(quiet, fd)
        os.close(quiet)
        _import_for_the_end()
        _, status = os.waitpid(runtime, 0)
    _check_killed(status, "the runtime")
    if status != 0:
        raise _StageError("start", _runtime_error(scratch))
    with _stage("start"), open(pid_file, encoding="utf-8") as file:
        return int(file.read())


def _import_for_the_end() -> None:
    """Import, while the runtime works, what is needed once the container runs: 0.2 ms that nobody waits for."""
    import tweed_shim.runtime.kept_size
    import tweed_shim.runtime.leaving  # noqa: F401 - see above


def _first_process(*, userns: bool) -> NoReturn:
    plan = None
    try:
        commands = waiting.Commands()
        _become_first(commands, userns=userns)
        plan = _told_plan()
        begun = time.monotonic()
        _arrange_streams(plan)
        _prepare(plan)
        mounted = time.monotonic()
        if plan["pasta"]:
            _connect_network(plan)
        os.umask(0o022)
        pid = _start_container(plan)
        _report(started=pid, times=[begun, mounted, time.monotonic()])
        from tweed_shim.runtime import leaving
        from tweed_shim.runtime.kept_size import KeptSize

        kept_size = KeptSize(plan["kept"], plan["keep_limit"])
        status = waiting.wait(pid, _state(plan), commands, kept_size)
        ended = time.monotonic()
        # What follows is the shim's own work, for which the image is given no time.
        _report(ended=True)
        oom = leaving.leave_cgroups(plan["cgroup"])
        with _stage("keep"):
            if kept_size.look(now=status == 0):
                status = signal.SIGKILL
            if plan["made"]:
                from tweed_shim.runtime import exchange

                exchange.keep(os.path.join(plan["scratch"], "made"), **plan["made"])
            if status == 0:
                for directory in plan["kept"]:
                    leaving.sync_tree(directory)
        _report(exited=status, oom=oom, full=kept_size.full, times=[ended, time.monotonic()])
    except _StageError as failure:
        if plan and failure.stage in AFTER_RUNTIME:
            from tweed_shim.runtime import leaving

            leaving.leave_cgroups(plan["cgroup"])
        _report(failed=failure.stage, error=str(failure), errno=failure.number)
    except MemoryError:
        _report(failed="memory", error="none is left", errno=None)
    except BaseException as error:  # noqa: BLE001 - nobody above could hear of it
        _report(failed="sandbox", error=repr(error), errno=None)
    os._exit(0)


def _keep(*, userns: bool) -> NoReturn:
    """Be the keeper: make the namespaces, start their first process, and last as long as it does."""
    try:
        for fd in (REPORTS, COMMANDS, PLAN):
            os.set_inheritable(fd, False)
        os.setsid()
        with _stage("namespace"):
            kernel.die_with_parent()
            flags = kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | (kernel.CLONE_NEWUSER if userns else 0)
            kernel.unshare(flags)
            if userns:
                _report(userns=True)
        first = os.fork()
        if first == 0:
            _first_process(userns=userns)
        for fd in range(PLAN + 1):
            os.close(fd)
        os.waitpid(first, 0)
    except _StageError as failure:
        _report(failed=failure.stage, error=str(failure), errno=failure.number)
    os._exit(0)


def _above_wanted(fd: int) -> int:
    """A copy of a descriptor that stands in the way of none of 0 to 5, and does not outlive an exec."""
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, PLAN + 1)


def enter(fds: list[int], *, userns: bool) -> NoReturn:
    """Be the keeper of a sandbox: what `fds` are becomes descriptors 0 to 5. The caller is a child of one thread."""
    signal.set_wakeup_fd(-1)
    for inherited in INHERITED_SIGNALS:
        signal.signal(inherited, signal.SIG_DFL)
    for number, fd in enumerate([_above_wanted(fd) for fd in fds]):
        os.dup2(fd, number)
    # A lock that the parent kept open would outlive its holder.
    os.closerange(PLAN + 1, HIGHEST_DESCRIPTOR)
    _keep(userns=userns)


def command(*, userns: bool) -> list[str]:
    """Return the command of a keeper as a program of its own."""
    from tweed_shim import interpreter

    packages = interpreter.source_directory()
    return [interpreter.find(), "-I", "-S", "-c", SCRIPT, packages, *(["--userns"] if userns else [])]


def main() -> NoReturn:
    """Be the program that `spawn` starts."""
    os.closerange(PLAN + 1, HIGHEST_DESCRIPTOR)
    _keep(userns="--userns" in sys.argv)
