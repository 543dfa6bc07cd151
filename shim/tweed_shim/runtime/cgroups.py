"""Control groups: where those of runs can be made, what they can limit there, and what stands in the way.

Version 1 is for root alone. In version 2 root has the whole tree, and others have what was delegated to them: the
group that they are in, or the one above it, if its files are theirs and nobody else is in it (cgroups(7),
"Delegation"). A group whose children have limits holds no processes ("no internal processes"), so that the shim steps
aside into a child before the first run with a limit.
"""

import os
from contextlib import suppress

from tweed_shim.errors import HostError
from tweed_shim.records import Record, replace

TOP = "/sys/fs/cgroup"
OWN = "/proc/self/cgroup"
PREFIX = "tweed-shim-"
CONTAINER = "container"
ASIDE = "tweed-shim"
LIMITED = ("cpu", "memory", "pids")
ROUNDS = 10
SYSTEMD = "/run/systemd/system"


class Cgroups(Record):
    """What a caller has of control groups.

    version: 1, 2, or 0 where none can be made. controllers: the resources that can be limited. parent: the path,
    below the top, of the group in which those of runs are made. for_all: every run has one, not only those with a
    limit. fault and mend: why not all resources can be limited, and what to do about it. unified: whether version 2 is
    what the host has at /sys/fs/cgroup, also where no groups can be made. swap: whether the use of swap space can be
    limited, which a kernel can leave out. nested: whether a run's processes are in a group within the run's, which
    makes the kernel keep the controllers of the run's group; see `_beside_systemd`.
    """

    version: int
    controllers: frozenset[str] = frozenset()
    parent: str = "/"
    for_all: bool = False
    fault: str = ""
    mend: str = ""
    unified: bool = False
    swap: bool = True
    nested: bool = False

    def path(self, name: str) -> str:
        """Return the path, below the top, of a run's group."""
        return os.path.join(self.parent, PREFIX + name)

    def container_path(self, name: str) -> str:
        """Return the path, below the top, of the group that the runtime makes for a run's container."""
        return os.path.join(self.path(name), CONTAINER) if self.nested else self.path(name)


def inspect(*, root: bool, top: str = TOP, own: str = OWN, systemd: str = SYSTEMD) -> Cgroups:
    """Look at what the caller has; root: whether it is the host's root.

    top: where the hierarchies are mounted. own: the file that tells the caller's groups, as /proc/PID/cgroup.
    systemd: the directory that is there where systemd manages the groups: sd_booted(3).
    """
    controllers = _words(f"{top}/cgroup.controllers")
    return (
        _version_1(root, top)
        if controllers is None
        else replace(
            _version_2(top, own, root=root, systemd=os.path.isdir(systemd)),
            unified=True,
            swap=_limits_swap(top),
        )
    )


def _version_2(top: str, own: str, *, root: bool, systemd: bool) -> Cgroups:
    if root and not os.access(top, os.W_OK):
        return Cgroups(0, fault=f"{top} is read-only", mend=f"mount it writable: mount -o remount,rw {top}")
    # Only the host's own top has no type, and may have processes beside children with limits.
    if root and not (os.path.exists(f"{top}/cgroup.type") and _words(f"{top}/cgroup.procs")):
        return _beside_systemd(top, own) if systemd else _limiting(top, "/", for_all=True)
    return _delegated(top, _own_path(own), root=root)


def _beside_systemd(top: str, own: str) -> Cgroups:
    """Return what root has where systemd manages the groups.

    Below a delegated group it is all of that group's. Elsewhere systemd takes a controller from the top whenever it
    realises a unit and no unit of its own needs the controller: the limits of a group below the top are then lost, and
    stay lost when the controller comes back (systemd.resource-control(5); "Control Group APIs and Delegation"). The
    kernel answers EBUSY to that for as long as a group there hands the controller on to a group of its own:
    Documentation/admin-guide/cgroup-v2.rst, "Top-down Constraint". So runs are `nested`: the runtime hands all
    controllers on in every group above the one that it makes.
    """
    path = _own_path(own)
    if any(_is_delegated(top + each) for each in (path, os.path.dirname(path))):
        found = _delegated(top, path, root=True)
        if found.version:
            return found
    return replace(_limiting(top, "/", for_all=True), nested=True)


def _is_delegated(directory: str) -> bool:
    # How systemd marks the groups of units with Delegate=yes: trusted.delegate since version 236, user.delegate since
    # version 251.
    for name in ("trusted.delegate", "user.delegate"):
        with suppress(OSError):
            if os.getxattr(directory, name) == b"1":
                return True
    return False


def _limits_swap(top: str) -> bool:
    """Whether groups of version 2 have the file memory.swap.max, which the top one has not."""
    for name in _names(top):
        if os.path.exists(f"{top}/{name}/memory.max"):
            return os.path.exists(f"{top}/{name}/memory.swap.max")
    return True


def is_swapping(swaps: str = "/proc/swaps") -> bool:
    """Whether the host has swap space: proc(5), /proc/swaps."""
    with suppress(OSError), open(swaps, encoding="utf-8", errors="replace") as file:
        return len(file.read().splitlines()) > 1
    return False


def _version_1(root: bool, top: str) -> Cgroups:
    if not root:
        mend = "run it as the host's root, or start the host with systemd.unified_cgroup_hierarchy=1"
        return Cgroups(0, fault="control groups of version 1 are for the host's root alone", mend=mend)
    names = _names(top) if os.access(top, os.W_OK) else []
    writable = [name for name in names if os.access(os.path.join(top, name), os.W_OK)]
    controllers = frozenset(part for name in writable for part in name.split(","))
    fault, mend = "there is no such control group", f"mount it below {top}"
    if os.path.isdir(top) and not writable:
        fault, mend = f"{top} is read-only", f"mount it writable: mount -o remount,rw {top}"
    if not controllers & {"memory", "pids"}:
        return Cgroups(0, fault=fault, mend=mend)
    swap = os.path.exists(f"{top}/memory/memory.memsw.limit_in_bytes")
    return Cgroups(1, controllers, for_all=True, fault=fault, mend=mend, swap=swap)


def _names(top: str) -> list[str]:
    if not os.path.isdir(top):
        return []
    return [entry.name for entry in os.scandir(top) if entry.is_dir(follow_symlinks=False)]


def _words(path: str) -> list[str] | None:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().split()
    except OSError:
        return None


def _lines(own: str) -> list[str]:
    """The groups of a process, one a hierarchy: cgroups(7), "/proc/[pid]/cgroup"; none where they are not seen."""
    with suppress(OSError), open(own, encoding="utf-8", errors="surrogateescape") as file:
        return [line for line in file.read().split("\n") if line and "/.." not in line]
    return []


def _own_path(own: str) -> str:
    """The caller's group of version 2 as seen from the top, or nothing."""
    return next((line.removeprefix("0::") for line in _lines(own) if line.startswith("0::/")), "")


def _limiting(top: str, parent: str, *, for_all: bool) -> Cgroups:
    controllers = frozenset(_words(f"{top}{parent}/cgroup.controllers") or ())
    mend = f"have root write it to the cgroup.subtree_control above {parent}"
    if os.path.isdir(SYSTEMD) and not for_all:
        mend = "have root put Delegate=cpu memory pids below [Service] with: systemctl edit user@.service"
    return Cgroups(
        2, controllers, parent, for_all, f"the control group {parent} has no controller for it", mend
    )


def _delegated(top: str, own: str, *, root: bool) -> Cgroups:
    above = os.path.dirname(own)
    if own not in ("", "/") and _is_ours(top + above) and not _words(f"{top}{above}/cgroup.procs"):
        return _limiting(top, above, for_all=root)
    if not own or not _is_ours(top + own):
        fault = f"the control group {own or 'of this process'} does not belong to this user"
    elif others := len(_others(top, own)):
        fault = f"the control group {own} has {others} other process{'es' if others > 1 else ''} in it"
    else:
        return _limiting(top, own, for_all=root)
    mend = "have root give this user a control group, and start it alone in that: cgroups(7), 'Delegation'"
    if os.path.isdir(SYSTEMD):
        kind = "" if root else " --user"
        mend = f"start it with: systemd-run{kind} --scope --property=Delegate=yes tweed-shim ..."
    return Cgroups(0, fault=fault, mend=mend)


def _is_ours(directory: str) -> bool:
    # A slice is never delegated, even if it belongs to the user: it is the user's systemd that sees to it.
    files = ("", "cgroup.procs", "cgroup.subtree_control")
    return (
        not directory.endswith(".slice")
        and all(os.access(os.path.join(directory, name), os.W_OK, effective_ids=True) for name in files)
        and _words(f"{directory}/cgroup.type") in (None, ["domain"])
    )


def _others(top: str, own: str) -> list[int]:
    """The processes in the caller's group that are not its own."""
    if own == "/":  # the top of a container, all of which is to be moved
        return []
    pids = map(int, _words(f"{top}{own}/cgroup.procs") or [])
    return [pid for pid in pids if os.getpid() not in _ancestry(pid)]


def _ancestry(pid: int) -> list[int]:
    """A process, its parent, and so on: the fourth field of proc(5), /proc/PID/stat."""
    found = []
    while pid > 0:
        found.append(pid)
        stat = " ".join(_words(f"/proc/{pid}/stat") or ["() ? 0"])
        pid = int(stat.rpartition(")")[2].split()[1])
    return found


def make_room(cgroups: Cgroups, *, top: str = TOP, own: str = OWN) -> None:
    """Have limits in force for the groups of runs: step aside if need be, and hand the controllers on to them.

    Raises HostError where the host does not let us.
    """
    place = top + cgroups.parent
    if cgroups.version != 2 or not os.path.exists(f"{place}/cgroup.type"):
        return
    try:
        if _own_path(own) == cgroups.parent:
            aside = os.path.join(place, ASIDE)
            with suppress(FileExistsError):
                os.mkdir(aside)
            for _ in range(ROUNDS):  # those that are born while others move are for the next one
                for pid in _words(f"{place}/cgroup.procs") or []:
                    with suppress(ProcessLookupError):
                        _write(f"{aside}/cgroup.procs", pid)
        for name in cgroups.controllers.intersection(LIMITED):
            _write(f"{place}/cgroup.subtree_control", f"+{name}")
    except OSError as error:
        raise HostError(
            f"the control group {cgroups.parent} cannot be shared out ({error.strerror}); see that nothing but "
            "tweed-shim is started in it"
        ) from error


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def expect_moves(pid: int, *, top: str = TOP, proc: str = "/proc") -> None:
    """Have the kernel prepare for moves of processes between groups, as the runtime is about to make some.

    Before the first move the kernel waits until each processor has passed by (an RCU grace period, 5 to 20 ms), and
    for a while after a move it need not do so again. To move the process `pid` to where it is changes nothing, but
    the wait is over when the runtime comes, rather than in its way.
    """
    for line in _lines(f"{proc}/{pid}/cgroup"):
        _, names, path = line.split(":", 2)
        try:
            _write(f"{top}/{names.removeprefix('name=')}{path}/cgroup.procs", str(pid))
        except OSError:
            continue
        return


def named(beginning: str) -> list[str]:
    """The paths of the groups, in whichever hierarchies, whose names begin so, where the caller's could be."""
    if os.path.exists(f"{TOP}/cgroup.controllers"):
        own = _own_path(OWN)
        places = {TOP, *(os.path.normpath(TOP + each) for each in (own, os.path.dirname(own)))}
    else:
        places = {os.path.join(TOP, name) for name in _names(TOP)}
    found = []
    for place in sorted(places):
        with suppress(OSError):
            found += [os.path.join(place, name) for name in os.listdir(place) if name.startswith(beginning)]
    return found
