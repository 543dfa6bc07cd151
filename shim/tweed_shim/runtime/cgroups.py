"""Control groups: where the groups of runs can be made, what they can limit there, and why they cannot.

Version 1 is for root alone. In version 2 root has the whole tree, and other users have what was delegated to them: the
group that they are in, or the one above it, if they own its files and no other process is in it (cgroups(7),
"Delegation"). A group whose children have limits must not have processes of its own ("no internal processes"), so the
shim moves itself into a child before the first run with a limit.
"""

import os
from contextlib import suppress

from tweed_shim.base import files
from tweed_shim.base.records import Record, replace
from tweed_shim.errors import HostError

TOP = "/sys/fs/cgroup"
OWN = "/proc/self/cgroup"
PREFIX = "tweed-shim-"
CONTAINER = "container"
# The child group that the shim moves itself into.
SHIM = "tweed-shim"
LIMITED = ("cpu", "memory", "pids")
MOVE_ATTEMPTS = 10
SYSTEMD = "/run/systemd/system"


class Cgroups(Record):
    """The control groups that a caller can make.

    version: 1, 2, or 0 where none can be made. controllers: the resources that can be limited. parent: the path,
    below the top, of the group in which those of runs are made. for_all: whether every run has one, not only those with
    a limit. fault and remedy: why not all resources can be limited, and what to do about it. unified: whether the host
    has version 2 at /sys/fs/cgroup, also where no groups can be made. swap: whether the use of swap space can be
    limited; not every kernel can. nested: whether the run's group holds a second one, in which its
    processes are. The kernel does not take controllers from the outer one then; see `_beside_systemd`.
    """

    version: int
    controllers: frozenset[str] = frozenset()
    parent: str = "/"
    for_all: bool = False
    fault: str = ""
    remedy: str = ""
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
    """Find out which control groups the caller can make. root: whether it is the host's root.

    top: where the hierarchies are mounted. own: the file with the caller's groups, as /proc/PID/cgroup. systemd: the
    directory that exists where systemd manages the groups: sd_booted(3).
    """
    controllers = _words(f"{top}/cgroup.controllers")
    if controllers is None:
        return _version_1(top, root=root)
    groups = _version_2(top, own, root=root, systemd=os.path.isdir(systemd))
    return replace(groups, unified=True, swap=_limits_swap(top))


def _version_2(top: str, own: str, *, root: bool, systemd: bool) -> Cgroups:
    if root and not os.access(top, os.W_OK):
        return Cgroups(0, fault=f"{top} is read-only", remedy=f"mount it writable: mount -o remount,rw {top}")
    # Only the host's own top has no file cgroup.type, and may have processes beside children with limits.
    if root and not (os.path.exists(f"{top}/cgroup.type") and _words(f"{top}/cgroup.procs")):
        return _beside_systemd(top, own) if systemd else _limiting(top, "/", for_all=True)
    return _delegated(top, _own_path(own), root=root)


def _beside_systemd(top: str, own: str) -> Cgroups:
    """Return the groups that root can make where systemd manages them.

    In a delegated group root has all of that group's controllers. Elsewhere systemd disables a controller at the top
    whenever it realises a unit and no unit of its own needs the controller. The limits of a group below the top are
    then lost, and stay lost when the controller comes back (systemd.resource-control(5); "Control Group APIs and
    Delegation"). The kernel refuses to disable a controller (EBUSY) for as long as a group below the top enables it for
    groups of its own: Documentation/admin-guide/cgroup-v2.rst, "Top-down Constraint". So runs are `nested`: the runtime
    enables all controllers in every group above the one that it makes.
    """
    path = _own_path(own)
    if any(_is_delegated(top + each) for each in (path, os.path.dirname(path))):
        groups = _delegated(top, path, root=True)
        if groups.version:
            return groups
    return replace(_limiting(top, "/", for_all=True), nested=True)


def _is_delegated(directory: str) -> bool:
    # systemd sets these attributes on the groups of units with Delegate=yes: trusted.delegate since version 236,
    # user.delegate since version 251.
    for name in ("trusted.delegate", "user.delegate"):
        with suppress(OSError):
            if os.getxattr(directory, name) == b"1":
                return True
    return False


def _limits_swap(top: str) -> bool:
    """Tell whether groups of version 2 have the file memory.swap.max, by a child group: the top never has it."""
    for name in _names(top):
        if os.path.exists(f"{top}/{name}/memory.max"):
            return os.path.exists(f"{top}/{name}/memory.swap.max")
    return True


def is_swapping(swaps: str = "/proc/swaps") -> bool:
    """Tell whether the host has swap space: proc(5), /proc/swaps."""
    with suppress(OSError), open(swaps, encoding="utf-8", errors="replace") as file:
        return len(file.read().splitlines()) > 1
    return False


def _version_1(top: str, *, root: bool) -> Cgroups:
    if not root:
        remedy = "run it as the host's root, or start the host with systemd.unified_cgroup_hierarchy=1"
        return Cgroups(0, fault="control groups of version 1 are for the host's root alone", remedy=remedy)
    names = _names(top) if os.access(top, os.W_OK) else []
    writable = [name for name in names if os.access(os.path.join(top, name), os.W_OK)]
    controllers = frozenset(part for name in writable for part in name.split(","))
    fault, remedy = "there is no such control group", f"mount it below {top}"
    if os.path.isdir(top) and not writable:
        fault, remedy = f"{top} is read-only", f"mount it writable: mount -o remount,rw {top}"
    if not controllers & {"memory", "pids"}:
        return Cgroups(0, fault=fault, remedy=remedy)
    swap = os.path.exists(f"{top}/memory/memory.memsw.limit_in_bytes")
    return Cgroups(1, controllers, for_all=True, fault=fault, remedy=remedy, swap=swap)


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
    """Return the lines of /proc/PID/cgroup, one for each hierarchy (cgroups(7)), without groups outside of our view."""
    with suppress(OSError), open(own, encoding="utf-8", errors="surrogateescape") as file:
        return [line for line in file.read().split("\n") if line and "/.." not in line]
    return []


def _own_path(own: str) -> str:
    """Return the path of the caller's group of version 2 below the top, an empty text where it cannot be seen."""
    return next((line.removeprefix("0::") for line in _lines(own) if line.startswith("0::/")), "")


def _limiting(top: str, parent: str, *, for_all: bool) -> Cgroups:
    """Return groups of version 2 that are made in `parent`, with the controllers that it has."""
    controllers = frozenset(_words(f"{top}{parent}/cgroup.controllers") or ())
    remedy = f"have root write it to the cgroup.subtree_control above {parent}"
    if os.path.isdir(SYSTEMD) and not for_all:
        remedy = "have root put Delegate=cpu memory pids below [Service] with: systemctl edit user@.service"
    fault = f"the control group {parent} has no controller for it"
    return Cgroups(2, controllers, parent, for_all=for_all, fault=fault, remedy=remedy)


def _delegated(top: str, own: str, *, root: bool) -> Cgroups:
    """Return the groups that can be made above or in the caller's group `own`, where one of the two is delegated."""
    above = os.path.dirname(own)
    if own not in ("", "/") and _is_ours(top + above) and not _words(f"{top}{above}/cgroup.procs"):
        return _limiting(top, above, for_all=root)
    if not own or not _is_ours(top + own):
        fault = f"the control group {own or 'of this process'} does not belong to this user"
    elif others := len(_others(top, own)):
        fault = f"the control group {own} has {others} other process{'es' if others > 1 else ''} in it"
    else:
        return _limiting(top, own, for_all=root)
    remedy = "have root give this user a control group, and start it alone in that: cgroups(7), 'Delegation'"
    if os.path.isdir(SYSTEMD):
        kind = "" if root else " --user"
        remedy = f"start it with: systemd-run{kind} --scope --property=Delegate=yes tweed-shim ..."
    return Cgroups(0, fault=fault, remedy=remedy)


def _is_ours(directory: str) -> bool:
    # A slice is never delegated, even if it belongs to the user: the user's systemd manages it.
    files = ("", "cgroup.procs", "cgroup.subtree_control")
    return (
        not directory.endswith(".slice")
        and all(os.access(os.path.join(directory, name), os.W_OK, effective_ids=True) for name in files)
        and _words(f"{directory}/cgroup.type") in (None, ["domain"])
    )


def _others(top: str, own: str) -> list[int]:
    """Return the processes in the caller's group that are neither this one nor descend from it."""
    if own == "/":  # the top of a container: all of its processes can be moved
        return []
    pids = map(int, _words(f"{top}{own}/cgroup.procs") or [])
    return [pid for pid in pids if os.getpid() not in _ancestry(pid)]


def _ancestry(pid: int) -> list[int]:
    """Return a process, its parent, and so on: proc(5), /proc/PID/stat, fourth field."""
    pids = []
    while pid > 0:
        pids.append(pid)
        stat = " ".join(_words(f"/proc/{pid}/stat") or ["() ? 0"])
        pid = int(stat.rpartition(")")[2].split()[1])
    return pids


def enable_controllers(cgroups: Cgroups, *, top: str = TOP, own: str = OWN) -> None:
    """Enable the controllers for the groups of runs. Where the shim is in their parent, move it to a child first.

    Raises HostError where the kernel refuses that.
    """
    parent = top + cgroups.parent
    if cgroups.version != 2 or not os.path.exists(f"{parent}/cgroup.type"):
        return
    try:
        if _own_path(own) == cgroups.parent:
            _move_processes(parent, os.path.join(parent, SHIM))
        for name in cgroups.controllers.intersection(LIMITED):
            files.write_kernel_file(f"{parent}/cgroup.subtree_control", f"+{name}")
    except OSError as error:
        raise HostError(
            f"the control group {cgroups.parent} cannot be shared out ({error.strerror}); see that nothing but "
            "tweed-shim is started in it"
        ) from error


def _move_processes(parent: str, child: str) -> None:
    """Make the group `child`, and move all processes of the group `parent` into it. Raises OSError."""
    with suppress(FileExistsError):
        os.mkdir(child)
    for _ in range(MOVE_ATTEMPTS):  # a process can fork while others are moved
        for pid in _words(f"{parent}/cgroup.procs") or []:
            with suppress(ProcessLookupError):
                files.write_kernel_file(f"{child}/cgroup.procs", pid)


def expect_moves(pid: int, *, top: str = TOP, proc: str = "/proc") -> None:
    """Move a process to the group that it already is in, so that the runtime's later move of the container is fast.

    Before the first move the kernel waits for an RCU grace period (5 to 20 ms), and for a while after a move it need
    not wait again. This move changes nothing, but it makes the kernel wait now, while the sandbox is being made.
    """
    for line in _lines(f"{proc}/{pid}/cgroup"):
        _, names, path = line.split(":", 2)
        try:
            files.write_kernel_file(f"{top}/{names.removeprefix('name=')}{path}/cgroup.procs", str(pid))
        except OSError:
            continue
        return


def with_prefix(prefix: str) -> list[str]:
    """Return the paths of the groups of runs, of all hierarchies, whose names begin with a prefix."""
    if os.path.exists(f"{TOP}/cgroup.controllers"):
        own = _own_path(OWN)
        parents = {TOP, *(os.path.normpath(TOP + each) for each in (own, os.path.dirname(own)))}
    else:
        parents = {os.path.join(TOP, name) for name in _names(TOP)}
    paths = []
    for parent in sorted(parents):
        with suppress(OSError):
            paths += [os.path.join(parent, name) for name in os.listdir(parent) if name.startswith(prefix)]
    return paths
