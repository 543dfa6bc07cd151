"""Generate `config.json`: a pure function of a Request and the host's abilities.

The format is the OCI Runtime Specification 1.0, `config.md` and `config-linux.md`.
"""

from contextlib import suppress

from tweed_shim.base.lean.typing import Any
from tweed_shim.base.option_names import bare, option
from tweed_shim.base.records import replace
from tweed_shim.errors import HostError
from tweed_shim.host.userns import IdRange
from tweed_shim.runtime import exec_limits, mount_points, working_directory
from tweed_shim.runtime.host import Host
from tweed_shim.runtime.hosts_file import HOSTNAME
from tweed_shim.runtime.options import DEFAULT_PIDS, Limits
from tweed_shim.runtime.request import Mount, Request

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
# Those of podman, and two more: every user may write to /proc/pressure, and the kernel then watches the host for it
# (Documentation/accounting/psi.rst); root may write to /proc/dynamic_debug, and the kernel then fills its log.
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
TTY = 5  # the number of the group of terminals, in every distribution
OPEN_FILES = 1 << 20
CPU_PERIOD = 100_000  # microseconds
SMALLEST_QUOTA = 1_000  # microseconds
TEMPORARY = ("/tmp", "/run", "/var/tmp")  # noqa: S108 - directories of the container, not of the host


def _mount(destination: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def _is_host_root(request: Request, host: Host) -> bool:
    return host.ids.kind == "host" and request.security.userns is None


def shows_host_sys(request: Request, host: Host) -> bool:
    """Tell whether the container sees the host's /sys, with all that is mounted below it, instead of a fresh one.

    Only the owner of a network namespace may mount its /sys. With pasta and --userns the owner is another namespace.
    """
    network = request.options.network
    owns_network = network == "none" or (network == "pasta" and request.security.userns is None)
    return not owns_network and not _is_host_root(request, host)


def _sys_mounts(request: Request, host: Host, bundle: str) -> list[dict[str, Any]]:
    options = ("nosuid", "noexec", "nodev", "ro")
    sys = _mount("/sys", "sysfs", "sysfs", *options)
    if shows_host_sys(request, host):
        # The option `ro` covers the top mount alone, and not every runtime knows `rro` (runc since 1.1, crun since
        # 1.4): the sandbox makes BUNDLE/sys read-only in all its depth (mounts.show_sys).
        sys = _mount("/sys", "bind", f"{bundle}/sys", "rbind", *options)
    # The run has a namespace of control groups, so that its programs find their own limits at the top. Only root can
    # make groups of version 1, so a run of another user has no limits there.
    own_groups = host.cgroups.unified or host.cgroups.version == 1
    return [sys, *([_mount(CGROUPS, "cgroup", "cgroup", *options, "relatime")] if own_groups else [])]


def _kernel_mounts(request: Request, host: Host, bundle: str) -> list[dict[str, Any]]:
    gids = (request.security.userns or host.ids).gids
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
        *_sys_mounts(request, host, bundle),
    ]


def _read_only_paths(host: Host) -> list[str]:
    # The hierarchies of version 1 are mounted on a tmpfs, which runc leaves writable whatever the options say.
    groups = (CGROUPS,) if host.cgroups.version == 1 else ()
    return [*READ_ONLY_PATHS, *groups]


def readable_name(number: int, mount: Mount) -> str:
    """Return the name in the bundle that the mount `number` of a request is bound from, "" for its own source."""
    return f"readable-{number}" if mount.for_user and not mount.writable else ""


def _from_bundle(number: int, mount: Mount, bundle: str) -> Mount:
    """Return a mount of a request with the source that the runtime binds."""
    name = readable_name(number, mount)
    return replace(mount, source=f"{bundle}/{name}") if name else mount


def _bind(mount: Mount) -> dict[str, Any]:
    access = "rw" if mount.writable else "ro"
    options = ("rbind", "rprivate", "nosuid", "nodev", access, *mount.locked_options)
    return _mount(mount.destination, "bind", mount.source, *options)


def _capability_sets(request: Request) -> dict[str, list[str]]:
    bounding = request.security.capabilities
    # A user other than root starts only with the capabilities that were asked for, as after a change of user without
    # more. The bounding set still limits what a program with file capabilities can gain.
    named = [name for name in bounding if name in request.options.cap_add]
    permitted = list(bounding) if request.process.uid == 0 else named
    ambient = [] if request.process.uid == 0 else named
    return {
        "bounding": list(bounding),
        "effective": permitted,
        "permitted": permitted,
        "inheritable": ambient,
        "ambient": ambient,
    }


def _seccomp(request: Request, host: Host) -> dict[str, Any]:
    from tweed_shim.runtime import seccomp

    security = request.security
    if security.seccomp == seccomp.UNCONFINED:
        return {}
    if security.seccomp == seccomp.DEFAULT:
        return {"seccomp": seccomp.profile(security.capabilities, host.machine, request.architecture)}
    return {"seccomp": security.seccomp}


def _rlimits(host: Host, limits: Limits) -> list[dict[str, Any]]:
    # Only CAP_SYS_RESOURCE may raise a hard limit, so no limit is higher than the caller's: setrlimit(2).
    wanted = {"RLIMIT_NOFILE": min(OPEN_FILES, host.files), "RLIMIT_CORE": min(NO_CORE, host.core)}
    if host.ids.kind != "host" and not (has_cgroup(limits, host) and "pids" in host.cgroups.controllers):
        # The kernel counts the processes of a user in each user namespace.
        wanted["RLIMIT_NPROC"] = min(limits.pids or DEFAULT_PIDS, host.processes)
    return [{"type": name, "hard": value, "soft": value} for name, value in wanted.items()]


def _oom_score(host: Host) -> dict[str, int]:
    """Return the score 0 for a run whose caller is protected from the OOM killer: no run is protected.

    Every process may raise its score: proc(5), /proc/PID/oom_score_adj. A score that is not negative is inherited.
    """
    return {"oomScoreAdj": 0} if host.oom_score_adj < 0 else {}


def has_cgroup(limits: Limits, host: Host) -> bool:
    """Tell whether a run with these limits gets a control group of its own."""
    return host.cgroups.version != 0 and (host.cgroups.for_all or limits != Limits())


def _resources(limits: Limits, host: Host) -> dict[str, Any]:
    """Return the control group's limits (config-linux.md, "Control groups").

    Raises HostError where the host cannot enforce a limit that was asked for.
    """
    requested = {"memory": limits.memory, "cpu": limits.cpus, "pids": limits.pids}
    options = {"memory": "--memory", "cpu": "--cpus", "pids": "--pids"}
    for controller, value in requested.items():
        if value is not None and controller not in host.cgroups.controllers:
            raise HostError(
                f"{bare(options[controller])} cannot be enforced: {host.cgroups.fault}; leave it out, or "
                f"{host.cgroups.remedy}"
            )
    if limits.cpus is not None and limits.cpus < SMALLEST_QUOTA / CPU_PERIOD:
        raise HostError(
            f"{option('--cpus', f'{limits.cpus:g}')} cannot be enforced: the kernel knows no share below 0.01"
        )
    resources: dict[str, Any] = {"devices": [{"allow": False, "access": "rwm"}]}
    if "pids" in host.cgroups.controllers and has_cgroup(limits, host):
        resources["pids"] = {"limit": limits.pids or DEFAULT_PIDS}
    if limits.memory is not None:
        # runc fails where it cannot write the limit of memory and swap together.
        swap = {"swap": limits.memory} if host.cgroups.swap else {}
        resources["memory"] = {"limit": limits.memory, **swap}
    if limits.cpus is not None:
        resources["cpu"] = {"period": CPU_PERIOD, "quota": round(limits.cpus * CPU_PERIOD)}
    return resources


def _id_mappings(request: Request) -> dict[str, Any]:
    def table(ranges: tuple[IdRange, ...]) -> list[dict[str, int]]:
        return [{"containerID": each.inside, "hostID": each.outside, "size": each.length} for each in ranges]

    ids = request.security.userns
    return {"uidMappings": table(ids.uids), "gidMappings": table(ids.gids)} if ids else {}


def _namespaces(request: Request, bundle: str) -> list[dict[str, str]]:
    network: dict[str, list[dict[str, str]]] = {
        "none": [{"type": "network"}],
        "pasta": [{"type": "network", "path": f"{bundle}/netns"}],
    }
    kinds = ("pid", "ipc", "uts", "mount", "cgroup", *(("user",) if request.security.userns else ()))
    return [*({"type": kind} for kind in kinds), *network.get(request.options.network, [])]


def _mounts(request: Request, host: Host, bundle: str, *, writable_root: bool) -> list[dict[str, Any]]:
    own_mounts = [Mount(f"{bundle}/home", request.home, writable=True)] if request.home else []
    if request.inputs:
        own_mounts.append(Mount(f"{bundle}/inputs", request.inputs.destination))
    if request.outputs:
        own_mounts.append(Mount(f"{bundle}/outputs", request.outputs.destination, writable=True))
    own_mounts.append(Mount(f"{bundle}/hosts", "/etc/hosts"))
    if request.options.network == "pasta":
        own_mounts.append(Mount(f"{bundle}/resolv.conf", "/etc/resolv.conf"))
    temporary = [
        _mount(path, "tmpfs", "tmpfs", "nosuid", "nodev", "mode=1777", "size=256m")
        for path in TEMPORARY
        if not writable_root or request.options.read_only
    ]
    return [
        *_kernel_mounts(request, host, bundle),
        *temporary,
        *map(_bind, own_mounts),
        *(_bind(_from_bundle(number, mount, bundle)) for number, mount in enumerate(request.mounts)),
    ]


def check_image(request: Request, host: Host, what: str) -> None:
    """Check that an image can be run, and that none of its links can lead the runtime out of it. Raises ImageError.

    what: the image, for messages. The caller may not be allowed to read all of the image. Process 1 of the sandbox
    checks again, with the rights of the container's root.
    """
    exec_limits.check(request.process.args, request.process.env, what)
    mounts = {each["destination"]: each["type"] for each in _mounts(request, host, "", writable_root=True)}
    with suppress(PermissionError):
        mount_points.check(request.rootfs, mounts.items(), what)
        working_directory.check(request.rootfs, request.process.cwd, mounts, what=what)


def _terminal(request: Request) -> dict[str, Any]:
    if request.terminal is None:
        return {"terminal": False}
    rows, columns = request.terminal
    return {"terminal": True, "consoleSize": {"height": rows, "width": columns}}


def _process(request: Request, host: Host) -> dict[str, Any]:
    process = request.process
    return {
        **_terminal(request),
        "user": {
            "uid": process.uid,
            "gid": process.gid,
            "additionalGids": list(process.groups),
            "umask": 0o022,
        },
        "args": list(process.args),
        "env": list(process.env),
        "cwd": process.cwd,
        "capabilities": _capability_sets(request),
        "rlimits": _rlimits(host, request.options.limits),
        "noNewPrivileges": True,
        **_oom_score(host),
    }


def _linux(request: Request, host: Host, *, bundle: str, name: str) -> dict[str, Any]:
    linux: dict[str, Any] = {
        "namespaces": _namespaces(request, bundle),
        "maskedPaths": [*MASKED_PATHS, *host.thermal_throttles],
        "readonlyPaths": _read_only_paths(host),
        "resources": _resources(request.options.limits, host),
        "rootfsPropagation": "private",
        **_seccomp(request, host),
        **_id_mappings(request),
    }
    if has_cgroup(request.options.limits, host):
        linux["cgroupsPath"] = host.cgroups.container_path(name)
    return linux


def generate(
    request: Request, host: Host, *, bundle: str, name: str, writable_root: bool = True
) -> dict[str, Any]:
    """Return the content of `config.json` for a run called `name` whose bundle is the directory `bundle`.

    writable_root: whether the root filesystem has a writable layer of its own.
    Raises HostError where this host cannot enforce a limit that the options name.
    """
    if request.options.read_only and _is_host_root(request, host) and not host.cgroups.version:
        # runc remounts the root read-only without the flag `nodev` that it had.
        raise HostError(
            f"{bare('--read-only')} is not safe here: there is no control group that keeps the image from its own "
            "devices; leave the option out, or mount /sys/fs/cgroup"
        )
    return {
        "ociVersion": "1.0.2",
        "process": _process(request, host),
        "root": {"path": "rootfs", "readonly": request.options.read_only or not writable_root},
        "hostname": HOSTNAME,
        "mounts": _mounts(request, host, bundle, writable_root=writable_root),
        "linux": _linux(request, host, bundle=bundle, name=name),
    }
