"""The runtime configuration: a pure function from a Request and the host's abilities to `config.json`.

The format is the OCI Runtime Specification 1.0, `config.md` and `config-linux.md`.
"""

from contextlib import suppress

from tweed_shim.errors import HostError
from tweed_shim.idmap import IdRange
from tweed_shim.lean.typing import Any
from tweed_shim.option_names import bare, option
from tweed_shim.runtime import capabilities, exec_limits, mount_points, working_directory
from tweed_shim.runtime.host import Host
from tweed_shim.runtime.hosts_file import HOSTNAME
from tweed_shim.runtime.request import DEFAULT_PIDS, Limits, Mount, Request

MASKED_PATHS = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/dev/block",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
]
# Beside those of podman: anybody may write to /proc/pressure, which has the kernel watch the host for it (the kernel's
# Documentation/accounting/psi.rst), and root to /proc/dynamic_debug, which has it fill its log.
READ_ONLY_PATHS = [
    "/proc/bus",
    "/proc/dynamic_debug",
    "/proc/fs",
    "/proc/irq",
    "/proc/pressure",
    "/proc/sys",
    "/proc/sysrq-trigger",
]
# The kernel starts no handler of a piped core pattern for a process with this limit, but does for one with 0:
# core(5), "Piping core dumps to a program".
NO_CORE = 1
CGROUPS = "/sys/fs/cgroup"
TTY = 5  # the group of terminals, by that number in every distribution
OPEN_FILES = 1 << 20
CPU_PERIOD = 100_000  # microseconds
SMALLEST_QUOTA = 1_000  # microseconds
TEMPORARY = ("/tmp", "/run", "/var/tmp")  # noqa: S108 - directories of the container, not of the host


def _mount(destination: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def _is_host_root(request: Request, host: Host) -> bool:
    return host.ids.kind == "host" and request.userns is None


def shows_host_sys(request: Request, host: Host) -> bool:
    """Whether the container sees the host's /sys, with all that is mounted below it, instead of a fresh one.

    Only the owner of a network namespace may mount its /sys. With pasta and --userns the owner is another namespace.
    """
    owns_network = request.network == "none" or (request.network == "pasta" and request.userns is None)
    return not owns_network and not _is_host_root(request, host)


def _sys_mounts(request: Request, host: Host, scratch: str) -> list[dict[str, Any]]:
    options = ("nosuid", "noexec", "nodev", "ro")
    sys = _mount("/sys", "sysfs", "sysfs", *options)
    if shows_host_sys(request, host):
        # The option `ro` covers the top mount alone, and not every runtime knows `rro` (runc since 1.1, crun since
        # 1.4): the sandbox makes SCRATCH/sys read-only in all its depth (mounts.show_sys).
        sys = _mount("/sys", "bind", f"{scratch}/sys", "rbind", *options)
    # The run has a namespace of control groups, so that its programs find their own limits at the top. Those of
    # version 1 are for root, who alone can make them: a run of another user has no limits there.
    own_groups = host.cgroups.unified or host.cgroups.version == 1
    return [sys, *([_mount(CGROUPS, "cgroup", "cgroup", *options, "relatime")] if own_groups else [])]


def _kernel_mounts(request: Request, host: Host, scratch: str) -> list[dict[str, Any]]:
    gids = (request.userns or host.ids).gids
    # The kernel answers EINVAL to a group that the user namespace does not have.
    has_tty = not gids or any(each.inside <= TTY < each.inside + each.length for each in gids)
    group = (f"gid={TTY}",) if has_tty else ()
    return [
        _mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "noexec", "strictatime", "mode=755", "size=65536k"),
        _mount(
            "/dev/pts",
            "devpts",
            "devpts",
            "nosuid",
            "noexec",
            "newinstance",
            "ptmxmode=0666",
            "mode=0620",
            *group,
        ),
        _mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),  # noqa: S108
        _mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
        *_sys_mounts(request, host, scratch),
    ]


def _read_only_paths(host: Host) -> list[str]:
    # The hierarchies of version 1 are mounted on a tmpfs, which runc leaves writable whatever the options say.
    groups = (CGROUPS,) if host.cgroups.version == 1 else ()
    return [*READ_ONLY_PATHS, *groups]


def _bind(mount: Mount) -> dict[str, Any]:
    access = "rw" if mount.writable else "ro"
    options = ("rbind", "rprivate", "nosuid", "nodev", access, *mount.keeps)
    return _mount(mount.destination, "bind", mount.source, *options)


def _capability_sets(request: Request, bounding: tuple[str, ...]) -> dict[str, list[str]]:
    # A user other than root starts without any, as after a plain change of user, but for those that were asked for;
    # the bounding set still limits what a program with file capabilities could gain.
    named = [name for name in bounding if name in request.cap_add]
    held = list(bounding) if request.uid == 0 else named
    kept = [] if request.uid == 0 else named
    return {
        "bounding": list(bounding),
        "effective": held,
        "permitted": held,
        "inheritable": kept,
        "ambient": kept,
    }


def _seccomp(request: Request, host: Host, bounding: tuple[str, ...]) -> dict[str, Any]:
    from tweed_shim.runtime import seccomp

    if request.seccomp == seccomp.UNCONFINED:
        return {}
    if request.seccomp == seccomp.DEFAULT:
        return {"seccomp": seccomp.profile(bounding, host.machine, request.architecture)}
    return {"seccomp": request.seccomp}


def _rlimits(host: Host, limits: Limits) -> list[dict[str, Any]]:
    # To raise a hard limit takes CAP_SYS_RESOURCE, so that none is more than the caller's: setrlimit(2).
    wanted = {"RLIMIT_NOFILE": min(OPEN_FILES, host.files), "RLIMIT_CORE": min(NO_CORE, host.core)}
    if host.ids.kind != "host" and not (has_cgroup(limits, host) and "pids" in host.cgroups.controllers):
        # The kernel counts the processes of a user in each user namespace.
        wanted["RLIMIT_NPROC"] = min(limits.pids or DEFAULT_PIDS, host.processes)
    return [{"type": name, "hard": value, "soft": value} for name, value in wanted.items()]


def _oom_score(host: Host) -> dict[str, int]:
    """The score of a run whose caller is protected from the kernel's choice of what to kill: none is protected.

    Everybody may raise a score: proc(5), /proc/PID/oom_score_adj. One that is not negative is inherited.
    """
    return {"oomScoreAdj": 0} if host.oom_score_adj < 0 else {}


def has_cgroup(limits: Limits, host: Host) -> bool:
    """Whether a run with these limits gets a control group of its own."""
    return host.cgroups.version != 0 and (host.cgroups.for_all or limits != Limits())


def _resources(limits: Limits, host: Host) -> dict[str, Any]:
    """The control group's limits (config-linux.md, "Control groups").

    Raises HostError where the host cannot enforce one that was asked for.
    """
    asked = {"memory": limits.memory, "cpu": limits.cpus, "pids": limits.pids}
    options = {"memory": "--memory", "cpu": "--cpus", "pids": "--pids"}
    for controller, value in asked.items():
        if value is not None and controller not in host.cgroups.controllers:
            raise HostError(
                f"{bare(options[controller])} cannot be enforced: {host.cgroups.fault}; leave it out, or "
                f"{host.cgroups.mend}"
            )
    if limits.cpus is not None and limits.cpus < SMALLEST_QUOTA / CPU_PERIOD:
        raise HostError(
            f"{option('--cpus', f'{limits.cpus:g}')} cannot be enforced: the kernel knows no share below 0.01"
        )
    resources: dict[str, Any] = {"devices": [{"allow": False, "access": "rwm"}]}
    if "pids" in host.cgroups.controllers and has_cgroup(limits, host):
        resources["pids"] = {"limit": limits.pids or DEFAULT_PIDS}
    if limits.memory is not None:
        # The runtime fails where it cannot write the limit of memory and swap together.
        swap = {"swap": limits.memory} if host.cgroups.swap else {}
        resources["memory"] = {"limit": limits.memory, **swap}
    if limits.cpus is not None:
        resources["cpu"] = {"period": CPU_PERIOD, "quota": round(limits.cpus * CPU_PERIOD)}
    return resources


def _id_mappings(request: Request) -> dict[str, Any]:
    def table(ranges: tuple[IdRange, ...]) -> list[dict[str, int]]:
        return [{"containerID": each.inside, "hostID": each.outside, "size": each.length} for each in ranges]

    ids = request.userns
    return {"uidMappings": table(ids.uids), "gidMappings": table(ids.gids)} if ids else {}


def _namespaces(request: Request, scratch: str) -> list[dict[str, str]]:
    network: dict[str, list[dict[str, str]]] = {
        "none": [{"type": "network"}],
        "pasta": [{"type": "network", "path": f"{scratch}/netns"}],
    }
    kinds = ("pid", "ipc", "uts", "mount", "cgroup", *(("user",) if request.userns else ()))
    return [*({"type": kind} for kind in kinds), *network.get(request.network, [])]


def _mounts(request: Request, host: Host, scratch: str, *, writable_root: bool) -> list[dict[str, Any]]:
    own = [Mount(f"{scratch}/home", request.home, writable=True)] if request.home else []
    if request.given:
        own.append(Mount(f"{scratch}/given", request.given.destination))
    if request.made:
        own.append(Mount(f"{scratch}/made", request.made.destination, writable=True))
    own.append(Mount(f"{scratch}/hosts", "/etc/hosts"))
    if request.network == "pasta":
        own.append(Mount(f"{scratch}/resolv.conf", "/etc/resolv.conf"))
    temporary = [
        _mount(path, "tmpfs", "tmpfs", "nosuid", "nodev", "mode=1777", "size=256m")
        for path in TEMPORARY
        if not writable_root or request.read_only
    ]
    return [
        *_kernel_mounts(request, host, scratch),
        *temporary,
        *(_bind(mount) for mount in (*own, *request.mounts)),
    ]


def check_image(request: Request, host: Host, what: str) -> None:
    """Refuse an image that cannot be run, or whose links could lead the runtime out of it, before anything is made.

    what: the image, for messages. Process 1 of the sandbox checks again, with the rights of the container's root: what
    the caller may not look at is left to it. Raises ImageError.
    """
    exec_limits.check(request.args, request.env, what)
    mounts = {each["destination"]: each["type"] for each in _mounts(request, host, "", writable_root=True)}
    with suppress(PermissionError):
        mount_points.check(request.rootfs, mounts.items(), what)
        working_directory.check(request.rootfs, request.cwd, mounts, what)


def generate(
    request: Request, host: Host, *, scratch: str, name: str, writable_root: bool = True
) -> dict[str, Any]:
    """The content of `config.json` for a run called `name` whose bundle is the directory `scratch`.

    writable_root: whether the root filesystem has a writable layer of its own.
    Raises HostError where a limit or a capability that was asked for cannot be had on this host.
    """
    if request.read_only and _is_host_root(request, host) and not host.cgroups.version:
        # The runtime's way to make the root read-only takes `nodev` from it.
        raise HostError(
            f"{bare('--read-only')} is not safe here: there is no control group that keeps the image from its own "
            "devices; leave the option out, or mount /sys/fs/cgroup"
        )
    rlimits = _rlimits(host, request.limits)
    # The first process of a user namespace has all capabilities in it.
    held = host.capabilities if request.userns is None else capabilities.NAMES
    bounding = capabilities.choose(request.cap_add, request.cap_drop, held)
    user = {"uid": request.uid, "gid": request.gid, "additionalGids": list(request.groups), "umask": 0o022}
    linux: dict[str, Any] = {
        "namespaces": _namespaces(request, scratch),
        "maskedPaths": [*MASKED_PATHS, *host.thermal_throttles],
        "readonlyPaths": _read_only_paths(host),
        "resources": _resources(request.limits, host),
        "rootfsPropagation": "private",
        **_seccomp(request, host, bounding),
        **_id_mappings(request),
    }
    if has_cgroup(request.limits, host):
        linux["cgroupsPath"] = host.cgroups.container_path(name)
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": user,
            "args": list(request.args),
            "env": list(request.env),
            "cwd": request.cwd,
            "capabilities": _capability_sets(request, bounding),
            "rlimits": rlimits,
            "noNewPrivileges": True,
            **_oom_score(host),
        },
        "root": {"path": "rootfs", "readonly": request.read_only or not writable_root},
        "hostname": HOSTNAME,
        "mounts": _mounts(request, host, scratch, writable_root=writable_root),
        "linux": linux,
    }
