"""What this host lets a run have: ids, control groups, open files, capabilities. Cheap, as every run asks."""

import os
import resource

from tweed_shim import idmap
from tweed_shim.errors import HostError
from tweed_shim.records import Record
from tweed_shim.runtime import capabilities, cgroups
from tweed_shim.runtime.cgroups import Cgroups

PACKAGES = {"runc": "runc", "crun": "crun", "umoci": "umoci", "pasta": "passt", "newuidmap": "uidmap"}


class Host(Record):
    """The abilities of a host.

    ids: the ids that a run can have. files: the hard limit of open files. capabilities: those that the caller can
    give to a run. machine: what uname(2) calls the hardware.
    """

    ids: idmap.IdMap
    cgroups: Cgroups
    files: int
    capabilities: frozenset[str]
    machine: str


def _capabilities(ids: idmap.IdMap) -> frozenset[str]:
    if ids.kind != "host":
        # The first process of a user namespace has all, and they reach no further than that: user_namespaces(7).
        return frozenset(capabilities.NAMES)
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        return capabilities.bounding(file.read())


def inspect() -> Host:
    """Look at the host as the caller sees it."""
    ids = idmap.detect()
    return Host(
        ids,
        cgroups.inspect(root=ids.kind == "host"),
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
