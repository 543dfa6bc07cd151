"""What this host lets a run have: ids, control groups, resource limits. Cheap enough to ask before every run."""

import os
import resource
from typing import NamedTuple

from tweed_shim import idmap
from tweed_shim.errors import HostError
from tweed_shim.runtime import capabilities

CGROUP_ROOT = "/sys/fs/cgroup"
CGROUP_PREFIX = "tweed-shim-"
PACKAGES = {"runc": "runc", "crun": "crun", "umoci": "umoci", "pasta": "passt", "newuidmap": "uidmap"}


class Host(NamedTuple):
    """The abilities of a host.

    ids: the ids that a run can have. cgroup_version: 1, 2, or 0 where no control group can be made.
    controllers: the resources that can be limited. files: the hard limit of open files. capabilities: those that
    the caller can give to a run. machine: what uname(2) calls the hardware.
    """

    ids: idmap.IdMap
    cgroup_version: int
    controllers: frozenset[str]
    files: int
    capabilities: frozenset[str]
    machine: str


def _root_cgroups() -> tuple[int, frozenset[str]]:
    if not os.access(CGROUP_ROOT, os.W_OK):
        return 0, frozenset()
    try:
        with open(f"{CGROUP_ROOT}/cgroup.controllers", encoding="ascii") as file:
            return 2, frozenset(file.read().split())
    except FileNotFoundError:
        names = frozenset(
            entry.name for entry in os.scandir(CGROUP_ROOT) if entry.is_dir(follow_symlinks=False)
        )
        return (1, names) if "pids" in names or "memory" in names else (0, frozenset())


def cgroups(beginning: str) -> list[str]:
    """The control groups, in whichever hierarchies, whose names begin so."""
    if not os.path.isdir(CGROUP_ROOT):
        return []
    tops = [CGROUP_ROOT]
    if not os.path.exists(f"{CGROUP_ROOT}/cgroup.controllers"):
        tops = [entry.path for entry in os.scandir(CGROUP_ROOT) if entry.is_dir(follow_symlinks=False)]
    return [os.path.join(top, name) for top in tops for name in os.listdir(top) if name.startswith(beginning)]


def _capabilities(ids: idmap.IdMap) -> frozenset[str]:
    if ids.kind != "host":
        # The first process of a user namespace has all, and they reach no further than that: user_namespaces(7).
        return frozenset(capabilities.NAMES)
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        return capabilities.bounding(file.read())


def inspect() -> Host:
    """Look at the host as the caller sees it."""
    ids = idmap.detect()
    version, controllers = _root_cgroups() if ids.kind == "host" else (0, frozenset[str]())
    return Host(
        ids,
        version,
        controllers,
        resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        _capabilities(ids),
        os.uname().machine,
    )


def require_program(name: str) -> str:
    """The path of a program that a run needs.

    Raises HostError, naming the package to install, where it is missing.
    """
    path = idmap.find_program(name)
    if path is None:
        package = PACKAGES.get(os.path.basename(name))
        mend = (
            f"install it with: apt install {package}"
            if package
            else "name an OCI runtime that is there with --runtime"
        )
        raise HostError(f"the program '{name}' is not installed; {mend}")
    return path
