"""The private namespaces that a run lives in, and their first process.

The shim starts a *sandbox process*, which makes the mount, process and, where asked for, user namespace. Its child is
process 1 of them: it waits for the plan (plan.py), mounts the bundle and the root filesystem, has the OCI runtime start
the container, and waits for it. When the shim, the sandbox process or process 1 ends, in whatever way, the kernel kills
everything inside of the namespaces and unmounts all: nothing has to be cleaned up.

This file, with those that it imports, stands alone on the standard library, because it is entered in two ways: by
`enter`, after a plain fork, from a process with one thread; and as a program (`python -I -S`, see `command`), from a
process with more, where forking Python code could deadlock. Both speak the same lines of JSON: reports on descriptor 3,
commands on descriptor 4; descriptor 5 holds the plan. Descriptors 0, 1 and 2 are the container's.

    reports    {"userns": true}                 map my ids, then send "mapped"
               {"started": PID, "times": [T, T, T]}     the container runs; see sandbox_process.py for the times
               {"ended": true}                  the container has ended; what it wrote is being synced
               {"failed": STAGE, "error": TEXT, "errno": N|null}
               {"exited": WAIT_STATUS, "oom": BOOL, "full": TEXT, "unkept": TEXT, "times": [T, T]}
                                                full: the destination of the directory whose limit was exceeded, or ""
                                                unkept: why a copy of what the run wrote was not made, or ""
    commands   mapped, {"signal": N}
"""

import fcntl
import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tweed_shim.base.lean import json, signal
from tweed_shim.base.lean.typing import TYPE_CHECKING, NoReturn
from tweed_shim.errors import ImageError
from tweed_shim.host import kernel
from tweed_shim.host.children import INHERITED_SIGNALS
from tweed_shim.runtime import hosts_file, mount_points, mounts, reaper
from tweed_shim.runtime.reaper import COMMANDS, READ

if TYPE_CHECKING:
    from tweed_shim.runtime.plan import Plan

REPORTS, PLAN = 3, 5
# Descriptors above the soft limit can be open where the limit was lowered after they were: getrlimit(2).
HIGHEST_DESCRIPTOR = 1 << 16
NO_REASON = "it gave no reason"
# The stages in which the runtime may have made a control group.
AFTER_RUNTIME = ("start", "killed", "keep")
# What pasta.py writes. That script imports nothing of the package, so it has a copy of this constant.
KILLED = b"killed by signal "
# `python -S` skips the search for packages, which takes half as long as Python's own start; so the path is an argument.
SCRIPT = (
    "import sys; sys.path.append(sys.argv.pop(1)); from tweed_shim.runtime import sandbox; sandbox.main()"
)


class _StageError(Exception):
    """A step of process 1 failed. stage: its name in the report; number: the errno, None where there is none."""

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


def _report_failure(failure: _StageError) -> None:
    _report(failed=failure.stage, error=str(failure), errno=failure.number)


def _enter_namespaces(commands: reaper.Commands, *, userns: bool) -> None:
    """Become process 1: end with the parent, make the mounts private, and show the new process namespace in /proc."""
    try:
        with _stage("namespace"):
            kernel.die_with_parent()
            os.umask(0)
            # A mount in a shared tree would be made in the host's namespace as well: mount_namespaces(7).
            kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
        with _stage("proc"):
            kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    finally:
        # Until its ids are mapped, a user namespace has no user who could own a file: user_namespaces(7). This process
        # waits for the mapping also after a failure: the shim writes to /proc/PID/uid_map, and PID has to exist.
        if userns:
            commands.line()


def _read_plan() -> "Plan":
    """Wait for the plan and return it. Ends this process when the shim is gone."""
    message = bytearray()
    while data := os.read(PLAN, READ):
        message += data
    os.close(PLAN)
    if not message:
        os._exit(0)
    plan: Plan = json.loads(message)
    return plan


def _arrange_streams(plan: "Plan") -> None:
    """Give descriptors 0, 1 and 2 to the container's user."""
    if not plan["stdin"]:
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
    if plan["joined"]:
        os.dup2(1, 2)
    # A program may open /dev/stdout or /dev/stderr once more. runc gives the pipes to the container's user, but in a
    # user namespace of the container's own it may not: there they belong to an id that the namespace does not have.
    for fd in (0, 1, 2):
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            with _stage("streams"):
                os.fchown(fd, *plan["user"])


def _prepare(plan: "Plan") -> None:
    """Mount the bundle with all that is in it, and the container's root."""
    if not plan["cgroup"]:
        with _stage("namespace"):
            # A runtime that sees the caller's control group makes one beside it, which nobody would remove.
            kernel.unshare(kernel.CLONE_NEWCGROUP)
    is_sharing = plan["readable"] or any(each["kept"] for each in plan["writable"])
    if is_sharing:
        from tweed_shim.runtime import shared_directories

        with _stage("shared"):
            shared_directories.prepare(plan)
    if plan["shift"]:
        if os.path.isabs(plan["overlay"]):
            plan["overlay"] = mounts.unshifted(plan["overlay"])
        if plan["outputs"]:
            plan["outputs"]["directory"] = mounts.unshifted(plan["outputs"]["directory"])
        if plan["keep"]:
            plan["keep"] = mounts.unshifted(plan["keep"])
        _shift_ids(plan["shift"])
    _make_bundle(plan)
    _make_volumes(plan)
    if is_sharing:
        with _stage("shared"):
            shared_directories.show(plan)
    bundle = plan["bundle"]
    root = os.path.join(bundle, "rootfs")
    with _stage("overlay"):
        if plan["overlay"]:
            directory = bundle if plan["overlay"] == "tmpfs" else plan["overlay"]
            mounts.mount_overlay(root, plan["lower"], directory, userns=plan["userns"])
        else:
            mounts.assemble_read_only(root, plan["lower"], _checked_mount_points(plan, plan["lower"]))
    _checked_mount_points(plan, root)


def _make_bundle(plan: "Plan") -> None:
    """Mount the private tmpfs, and make in it the runtime's bundle and the home directory of the container's user."""
    bundle = plan["bundle"]
    with _stage("bundle"):
        uid, gid = plan["top"]
        size = f"size={plan['bundle_size']},mode=0700,uid={uid},gid={gid}"
        kernel.mount("tmpfs", bundle, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, size)
        for name in ("rootfs", "home", "state"):
            os.mkdir(os.path.join(bundle, name), 0o700)
        os.chown(os.path.join(bundle, "home"), *plan["user"])
        with open(os.path.join(bundle, "config.json"), "w", encoding="utf-8") as file:
            file.write(plan["config"])
        hosts_file.write(os.path.join(bundle, "hosts"), plan["hosts"])
    if plan["sys"]:
        with _stage("sys"):
            mounts.show_sys(os.path.join(bundle, "sys"))


def _make_volumes(plan: "Plan") -> None:
    """Give the writable directories to the container's user, and make the volumes in memory."""
    with _stage("directory"):
        for each in plan["writable"]:
            os.chown(each["directory"], *plan["user"])
        if plan["inputs"]:
            from tweed_shim.runtime import volumes

            volumes.fill(os.path.join(plan["bundle"], "inputs"), **plan["inputs"], user=plan["user"])
        if plan["outputs"]:
            from tweed_shim.runtime import volumes

            volumes.make_directory(os.path.join(plan["bundle"], "outputs"), plan["user"])


def _checked_mount_points(plan: "Plan", root: str) -> list[str]:
    """Check a root directory as the runtime will find it; see `mount_points.check`."""
    try:
        return mount_points.check(root, plan["mount_points"], "the image")
    except ImageError as error:
        raise _StageError("image", str(error)) from error


def _shift_ids(program: list[str]) -> None:
    """Run the program that shows the store with other ids (idmapped_mount.py)."""
    read, write = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, write, 2)]
    pid = os.posix_spawn(program[0], program, {}, file_actions=actions, setsigdef=INHERITED_SIGNALS)
    os.close(write)
    with open(read, encoding="utf-8", errors="replace") as file:
        output = file.read().strip()
    status = os.waitpid(pid, 0)[1]
    _check_killed(status, "the program that shows the store with other ids")
    if status != 0:
        raise _StageError("shift", output.rpartition("\n")[2] or NO_REASON)


def _check_killed(status: int, program: str) -> None:
    """Raise _StageError where a signal ended a program: then its stage is not the reason, and has no remedy."""
    if os.WIFSIGNALED(status):
        raise _StageError("killed", f"{program} was ended by signal {os.WTERMSIG(status)}")


def _connect_network(plan: "Plan") -> None:
    """Start the program that holds the network namespace (pasta.py), and wait until it is connected."""
    read, write = os.pipe()
    os.posix_spawn(
        plan["pasta"][0],
        plan["pasta"],
        {"PATH": os.environ.get("PATH", os.defpath)},
        file_actions=[(os.POSIX_SPAWN_DUP2, write, 1), (os.POSIX_SPAWN_DUP2, write, 2)],
        setsigmask=[],
        setsigdef=INHERITED_SIGNALS,
    )
    os.close(write)
    output = bytearray()
    while not output.endswith(b"\n") and (data := os.read(read, 4096)):
        output += data
    os.close(read)
    if output.startswith(KILLED):
        raise _StageError("killed", f"pasta was ended by signal {output[len(KILLED) :].decode().strip()}")
    if output != b"ready\n":
        raise _StageError("network", output.decode(errors="replace").strip() or NO_REASON)


def _runtime_environment(runtime: str) -> dict[str, str]:
    # runc lives for milliseconds, so a collection of its garbage (Go's GOGC) frees nothing that is needed again.
    collecting = {"GOGC": "off"} if os.path.basename(runtime) == "runc" else {}
    return {"PATH": os.environ.get("PATH", os.defpath), **collecting}


def _state_directory(plan: "Plan") -> str:
    return os.path.join(plan["bundle"], "state")


def _start_container(plan: "Plan") -> int:
    """Have the runtime start the container, which keeps descriptors 0, 1 and 2; return its process id."""
    pid_file = os.path.join(plan["bundle"], "pid")
    if plan["terminal"]:
        from tweed_shim.runtime import session

        with _stage("terminal"), session.handing_over(plan["bundle"], os.dup(1)):
            _run_runtime(plan, pid_file, ["--console-socket", session.SOCKET])
    else:
        _run_runtime(plan, pid_file, [])
    with _stage("start"), open(pid_file, encoding="utf-8") as file:
        return int(file.read())


def _run_runtime(plan: "Plan", pid_file: str, more: list[str]) -> None:
    """Have the runtime start the container. more: further options of its command `run`."""
    bundle = plan["bundle"]
    log = os.path.join(bundle, "runtime.log")
    options = [
        "--root",
        _state_directory(plan),
        "--log",
        log,
        "--log-format",
        "json",
        *plan["runtime_options"],
    ]
    run = [
        "run",
        "--detach",
        *plan["run_options"],
        *more,
        "--pid-file",
        pid_file,
        "--bundle",
        bundle,
        plan["id"],
    ]
    with _stage("runtime"):
        runtime = os.posix_spawn(
            plan["runtime"],
            [plan["runtime"], *options, *run],
            _runtime_environment(plan["runtime"]),
            setsigmask=[],
            setsigdef=INHERITED_SIGNALS,
        )
        # The shim sees the end of a pipe only when nobody else holds it.
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.close(null)
        _, status = os.waitpid(runtime, 0)
    _check_killed(status, "the runtime")
    if status != 0:
        from tweed_shim.runtime import runtime_log

        raise _StageError("start", runtime_log.last_error(log) or NO_REASON)


def _start(plan: "Plan") -> int:
    """Do all that a plan says up to the start of the container; return its process id."""
    begun = time.monotonic()
    _arrange_streams(plan)
    _prepare(plan)
    mounted = time.monotonic()
    if plan["pasta"]:
        _connect_network(plan)
    os.umask(0o022)
    pid = _start_container(plan)
    _report(started=pid, times=[begun, mounted, time.monotonic()])
    return pid


def _finish(plan: "Plan", pid: int, commands: reaper.Commands) -> None:
    """Wait for the container, bring what it wrote to the disk, and report its end."""
    from tweed_shim.runtime import cleanup
    from tweed_shim.runtime.disk_usage import DiskUsage

    usage = DiskUsage(plan["disk_limits"])
    status = reaper.wait(pid, commands, usage, state=_state_directory(plan))
    ended = time.monotonic()
    # What follows is the shim's own work: the time limit of the image no longer counts.
    _report(ended=True)
    oom = cleanup.leave_cgroups(plan["cgroup"])
    with _stage("keep"):
        if usage.measure(now=status == 0):
            status = signal.SIGKILL
        for each in plan["writable"]:
            if status == 0 or each["kept"]:
                cleanup.sync_tree(each["directory"])
        if plan["outputs"]:
            from tweed_shim.runtime import volumes

            volumes.copy_out(os.path.join(plan["bundle"], "outputs"), **plan["outputs"])
    unkept = _keep(plan)
    _report(exited=status, oom=oom, full=usage.exceeded, unkept=unkept, times=[ended, time.monotonic()])


def _keep(plan: "Plan") -> str:
    """Copy what the run wrote, if its plan says so; return why that failed, "" where it did not."""
    if not plan["keep"]:
        return ""
    from tweed_shim.runtime import kept_files

    try:
        kept_files.keep(plan)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _first_process(*, userns: bool) -> NoReturn:
    """Be process 1 of the namespaces, from the plan to the report of the end."""
    plan = None
    try:
        commands = reaper.Commands()
        _enter_namespaces(commands, userns=userns)
        plan = _read_plan()
        _finish(plan, _start(plan), commands)
    except _StageError as failure:
        if plan and failure.stage in AFTER_RUNTIME:
            from tweed_shim.runtime import cleanup

            cleanup.leave_cgroups(plan["cgroup"])
            if failure.stage == "start":
                _keep(plan)
        _report_failure(failure)
    except MemoryError:
        _report(failed="memory", error="none is left", errno=None)
    except BaseException as error:  # noqa: BLE001 - a report is the only way out of this process
        _report(failed="sandbox", error=repr(error), errno=None)
    os._exit(0)


def _sandbox_process(*, userns: bool) -> NoReturn:
    """Be the sandbox process: make the namespaces, start their process 1, and last as long as it does.

    A process does not enter a new process namespace itself, only its children do: unshare(2), CLONE_NEWPID.
    """
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
        _report_failure(failure)
    os._exit(0)


def _above_plan(fd: int) -> int:
    """Return a copy of a descriptor whose number is above those of the protocol, and which is closed by an exec."""
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, PLAN + 1)


def enter(fds: list[int], *, userns: bool) -> NoReturn:
    """Be a sandbox process with `fds` as descriptors 0 to 5. The caller is a forked child with one thread."""
    signal.set_wakeup_fd(-1)
    for inherited in INHERITED_SIGNALS:
        signal.signal(inherited, signal.SIG_DFL)
    for number, fd in enumerate([_above_plan(fd) for fd in fds]):
        os.dup2(fd, number)
    # A lock of the shim is held for as long as any process has its descriptor: flock(2).
    os.closerange(PLAN + 1, HIGHEST_DESCRIPTOR)
    _sandbox_process(userns=userns)


def command(*, userns: bool) -> list[str]:
    """Return the command of a sandbox process as a program of its own."""
    from tweed_shim.host import interpreter

    packages = interpreter.source_directory()
    return [interpreter.find(), "-I", "-S", "-c", SCRIPT, packages, *(["--userns"] if userns else [])]


def main() -> NoReturn:
    """Be the program that `command` names."""
    os.closerange(PLAN + 1, HIGHEST_DESCRIPTOR)
    _sandbox_process(userns="--userns" in sys.argv)
