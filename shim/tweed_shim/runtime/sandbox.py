"""The private namespaces that a run lives in, and their first process.

The shim starts a *keeper*, which makes the mount, process and, where asked for, user namespace. The keeper's
child is process 1 of them: it waits for the plan, mounts the scratch and the root filesystem, has the OCI runtime
start the container, and waits for it. When the shim, the keeper or process 1 ends, in whatever way, the kernel ends
everything inside of the namespaces and throws the mounts away: nobody needs to clean up.

This file stands alone on the standard library, because it is entered in two ways: by `enter`, after a plain fork,
from a process with one thread; and as a script (`python -I -S sandbox.py`) by `spawn` from a process with more,
where forking Python code could deadlock. Both speak the same lines of JSON: reports on descriptor 3, commands on
descriptor 4; descriptor 5 holds the plan. Descriptors 0, 1 and 2 are the container's.

    reports    {"userns": true}                 map my ids, then send "mapped"
               {"started": PID, "times": [T, T, T]}     the container runs; see carrier.py for the times
               {"failed": STAGE, "error": TEXT, "errno": N|null}
               {"exited": WAIT_STATUS, "oom": BOOL, "by": N|null, "times": [T, T]}  by: the signal that was asked for
    commands   mapped, {"signal": N}
"""

import ctypes
import errno
import fcntl
import json
import os
import select
import signal
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn, TypedDict

REPORTS, COMMANDS, PLAN = 3, 4, 5

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWCGROUP = 0x02000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
PR_SET_PDEATHSIG = 1
CGROUP_PATIENCE = 200  # milliseconds
LOOK_AGAIN = 50  # milliseconds
READ = 64 << 10
# A soft limit that was lowered says nothing of the descriptors that were open before.
HIGHEST_DESCRIPTOR = 1 << 16
# What the runtime complains of after the complaint that matters.
CLEANING_UP = ("Failed to remove", "failed to remove")
# What Python or the shim changed, and no program that is started may find changed.
INHERITED_SIGNALS = (signal.SIGINT, signal.SIGPIPE, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
OVERLAY_SPECIAL = str.maketrans({"\\": "\\\\", ",": "\\,", ":": "\\:"})
# What a bind mount may not lose in a user namespace: mount_namespaces(7), "locked".
LOCKED_FLAGS = {
    os.ST_RDONLY: MS_RDONLY,
    os.ST_NOSUID: MS_NOSUID,
    os.ST_NODEV: MS_NODEV,
    os.ST_NOEXEC: MS_NOEXEC,
}

_libc = ctypes.CDLL(None, use_errno=True)


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
    top: tuple[int, int]  # uid and gid of the container's root
    home: tuple[int, int]  # uid and gid of the fresh home directory
    owned: list[tuple[str, int, int]]  # directories to give to a uid and gid before the start
    kept: list[str]  # directories whose content must be on disk before a success is reported
    runtime: str
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


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    _check(
        _libc.mount(
            os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), os.fsencode(data)
        ),
        target,
    )


def _die_with_parent() -> None:
    _check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL), "PR_SET_PDEATHSIG")


def _report(**message: object) -> None:
    os.write(REPORTS, json.dumps(message).encode() + b"\n")


class _Commands:
    """Lines from the shim; its end of the pipe closes when it ends."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[str] = []

    def read(self) -> list[str]:
        """The lines that have arrived; waits for some. Ends this process when the shim is gone."""
        if not self._lines:
            data = os.read(COMMANDS, READ)
            if not data:
                os._exit(0)
            *lines, self._rest = (self._rest + data).split(b"\n")
            self._lines = [line.decode() for line in lines]
        taken, self._lines = self._lines, []
        return taken

    def line(self) -> str:
        """Wait for one line and leave those after it."""
        while not (lines := self.read()):
            pass
        self._lines = lines[1:]
        return lines[0]


def _bind_read_only(source: str, target: str) -> None:
    _mount(source, target, "", MS_BIND | MS_REC)
    held = os.statvfs(target).f_flag
    flags = sum(flag for bit, flag in LOCKED_FLAGS.items() if held & bit)
    _mount("", target, "", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | flags)


def _mount_overlay(plan: Plan, root: str) -> None:
    place = plan["scratch"] if plan["overlay"] == "tmpfs" else plan["overlay"]
    upper, work = os.path.join(place, "upper"), os.path.join(place, "work")
    like = os.stat(plan["lower"])
    # The upper directory's owner and mode are those of "/" in the container.
    os.mkdir(upper, stat.S_IMODE(like.st_mode))
    os.chown(upper, like.st_uid, like.st_gid)
    os.mkdir(work, 0o700)
    parts = {"lowerdir": plan["lower"], "upperdir": upper, "workdir": work}
    options = [f"{name}={path.translate(OVERLAY_SPECIAL)}" for name, path in parts.items()]
    # A device or a set-user-ID program of the image is a file like any other.
    flags = MS_NOSUID | MS_NODEV
    _mount(
        "overlay", root, "overlay", flags, ",".join([*options, *(["userxattr"] if plan["userns"] else [])])
    )


def _bind_entries(source: str, target: str, opened: set[str]) -> None:
    """Give a directory of our own the entries of the image's, read-only; those `opened` are ours in turn."""
    for entry in os.scandir(source):
        place = os.path.join(target, entry.name)
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), place)
        elif entry.is_dir():
            os.mkdir(place, 0o755)
            if entry.name in opened:
                _bind_entries(entry.path, place, set())
            else:
                _bind_read_only(entry.path, place)
        elif entry.is_file():
            os.close(os.open(place, os.O_CREAT | os.O_CLOEXEC, 0o644))
            _bind_read_only(entry.path, place)


def _assemble_read_only_root(plan: Plan, root: str) -> None:
    """A root directory of our own with the image's entries: the mount points that the image lacks can be made."""
    _mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
    targets = [mount["destination"] for mount in json.loads(plan["config"])["mounts"]]
    missing = [path for path in targets if not os.path.lexists(plan["lower"] + path)]
    _bind_entries(plan["lower"], root, {path.split("/")[1] for path in missing})


def _become_first() -> None:
    with _stage("namespace"):
        _die_with_parent()
        os.umask(0)
        _mount("none", "/", "", MS_REC | MS_PRIVATE)
        _mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)


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


def _prepare(plan: Plan) -> None:
    scratch = plan["scratch"]
    if not plan["cgroup"]:
        with _stage("namespace"):
            # A runtime that sees the caller's control group makes one beside it, which nobody would remove.
            _check(_libc.unshare(ctypes.c_int(CLONE_NEWCGROUP)), "unshare")
    if plan["shift"]:
        if os.path.isabs(plan["overlay"]):
            # The upper layer is written with the host's ids: by way of the mount as it is before.
            fd = os.open(plan["overlay"], os.O_PATH | os.O_DIRECTORY)
            plan["overlay"] = f"/proc/self/fd/{fd}"
        _shift_ids(plan["shift"])
    with _stage("scratch"):
        uid, gid = plan["top"]
        size = f"size={plan['scratch_size']},mode=0700,uid={uid},gid={gid}"
        _mount("tmpfs", scratch, "tmpfs", MS_NOSUID | MS_NODEV, size)
        for name in ("rootfs", "home", "state"):
            os.mkdir(os.path.join(scratch, name), 0o700)
        os.chown(os.path.join(scratch, "home"), *plan["home"])
        with open(os.path.join(scratch, "config.json"), "w", encoding="utf-8") as file:
            file.write(plan["config"])
    with _stage("directory"):
        for path, uid, gid in plan["owned"]:
            os.chown(path, uid, gid)
    root = os.path.join(scratch, "rootfs")
    with _stage("overlay"):
        if plan["overlay"]:
            _mount_overlay(plan, root)
        else:
            _assemble_read_only_root(plan, root)


def _shift_ids(program: list[str]) -> None:
    told, tell = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, tell, 2)]
    script = os.posix_spawn(program[0], program, {}, file_actions=actions, setsigdef=INHERITED_SIGNALS)
    os.close(tell)
    with open(told, encoding="utf-8", errors="replace") as file:
        said = file.read().strip()
    if os.waitpid(script, 0)[1] != 0:
        raise _StageError("shift", said.rpartition("\n")[2] or "it gave no reason")


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
    if said != b"ready\n":
        raise _StageError("network", said.decode(errors="replace").strip() or "it gave no reason")


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
    return message or "it gave no reason"


def _start_container(plan: Plan) -> int:
    """Have the runtime start the container, which keeps descriptors 0, 1 and 2; returns its process id."""
    scratch = plan["scratch"]
    pid_file = os.path.join(scratch, "pid")
    log = os.path.join(scratch, "runtime.log")
    options = ["--root", os.path.join(scratch, "state"), "--log", log, "--log-format", "json"]
    run = ["run", "--detach", "--pid-file", pid_file, "--bundle", scratch, plan["id"]]
    with _stage("runtime"):
        runtime = os.posix_spawn(
            plan["runtime"],
            [plan["runtime"], *options, *run],
            {"PATH": os.environ.get("PATH", os.defpath)},
            setsigmask=[],
            setsigdef=INHERITED_SIGNALS,
        )
        quiet = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(quiet, fd)
        os.close(quiet)
        _, status = os.waitpid(runtime, 0)
    if status != 0:
        raise _StageError("start", _runtime_error(scratch))
    with _stage("start"), open(pid_file, encoding="ascii") as file:
        return int(file.read())


def _takes_default(pid: int, number: int) -> bool:
    """Whether a process neither catches nor ignores a signal.

    The kernel spares the first process of a namespace the signals it does not catch; what would have ended any
    other process is then made to end it.
    """
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            masks = [line.split() for line in file if line.startswith(("SigIgn:", "SigCgt:"))]
    except OSError:
        return False
    return not any(int(mask[1], 16) >> (number - 1) & 1 for mask in masks)


def _program(pid: int) -> tuple[int, int] | None:
    try:
        about = os.stat(f"/proc/{pid}/exe")
    except OSError:
        return None
    return about.st_dev, about.st_ino


def _wait(pid: int, commands: _Commands) -> int:
    """Wait for the container, passing signals on; its wait status."""
    end = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(end, select.POLLIN)
    poll.register(COMMANDS, select.POLLIN)
    asked, told = 0, None
    while True:
        ready = {fd for fd, _ in poll.poll(LOOK_AGAIN if asked else None)}
        if end in ready:
            return _reap(pid)
        if COMMANDS in ready:
            for line in commands.read():
                asked, told = int(json.loads(line)["signal"]), None
        # The first signal may have met the runtime, which was about to become the program.
        if asked and (told != _program(pid) or _takes_default(pid, asked)):
            told = _program(pid)
            os.kill(pid, signal.SIGKILL if _takes_default(pid, asked) else asked)


def _reap(pid: int) -> int:
    """The wait status of the container, which has ended.

    It is a child of this process once whatever the runtime started it by has ended; with crun that can be later.
    """
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == pid:
            return status


def _cgroups(path: str) -> list[str]:
    if not path:
        return []
    base = "/sys/fs/cgroup"
    hierarchies = [base, *(entry.path for entry in os.scandir(base) if entry.is_dir(follow_symlinks=False))]
    found = (os.path.join(hierarchy, path) for hierarchy in hierarchies)
    return [each for each in found if os.path.isdir(each)]


def _leave_cgroups(path: str) -> bool:
    """Remove the run's cgroups; whether the kernel had to end a process of it for want of memory."""
    oom = False
    for directory in _cgroups(path):
        for name in ("memory.events", "memory.oom_control"):
            try:
                with open(os.path.join(directory, name), encoding="ascii") as file:
                    oom = oom or any(line.startswith("oom_kill ") and line.split()[1] != "0" for line in file)
            except OSError:
                continue
        _remove_cgroup(directory)
    return oom


def _remove_cgroup(directory: str) -> None:
    # The kernel takes a moment to notice that the last process has left. What stays, the next run sweeps.
    for _ in range(CGROUP_PATIENCE):
        try:
            os.rmdir(directory)
        except OSError as error:
            if error.errno != errno.EBUSY:
                return
            time.sleep(0.001)
        else:
            return


def _sync_tree(directory: str) -> None:
    for path, _, names in os.walk(directory):
        for name in names:
            file = os.path.join(path, name)
            if stat.S_ISREG(os.lstat(file).st_mode):
                _sync(file, os.O_RDONLY | os.O_NOFOLLOW)
        _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: str, flags: int) -> None:
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _first_process(commands: _Commands) -> NoReturn:
    plan = None
    try:
        _become_first()
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
        status = _wait(pid, commands)
        ended = time.monotonic()
        oom = _leave_cgroups(plan["cgroup"])
        if status == 0:
            with _stage("keep"):
                for directory in plan["kept"]:
                    _sync_tree(directory)
        _report(exited=status, oom=oom, times=[ended, time.monotonic()])
    except _StageError as failure:
        if plan:
            _leave_cgroups(plan["cgroup"])
        _report(failed=failure.stage, error=str(failure), errno=failure.number)
    except BaseException as error:  # noqa: BLE001 - nobody above could hear of it
        _report(failed="sandbox", error=repr(error), errno=None)
    os._exit(0)


def _keep(*, userns: bool) -> NoReturn:
    """Be the keeper: make the namespaces, start their first process, and last as long as it does."""
    commands = _Commands()
    try:
        for fd in (REPORTS, COMMANDS, PLAN):
            os.set_inheritable(fd, False)
        os.setsid()
        with _stage("namespace"):
            _die_with_parent()
            flags = CLONE_NEWNS | CLONE_NEWPID | (CLONE_NEWUSER if userns else 0)
            _check(_libc.unshare(ctypes.c_int(flags)), "unshare")
            if userns:
                _report(userns=True)
                commands.line()
                _die_with_parent()  # a change of credentials forgets it: prctl(2)
        first = os.fork()
        if first == 0:
            _first_process(commands)
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


def spawn(fds: list[int], *, userns: bool) -> int:
    """Start a keeper as a program of its own, whose descriptors 0 to 5 are `fds`; returns its process id."""
    copies = [_above_wanted(fd) for fd in fds]
    try:
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", os.path.abspath(__file__), *(["--userns"] if userns else [])],
            {"PATH": os.environ.get("PATH", os.defpath)},
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(copies)],
            setsigmask=[],
            setsigdef=INHERITED_SIGNALS,
        )
    finally:
        for fd in copies:
            os.close(fd)


if __name__ == "__main__":
    os.closerange(PLAN + 1, HIGHEST_DESCRIPTOR)
    _keep(userns="--userns" in sys.argv)
