"""What this host lets a run have: ids, control groups, open files, capabilities. Cheap, as every run asks."""

import os
import resource
import sys

from tweed_shim import idmap
from tweed_shim.errors import HostError
from tweed_shim.option_names import option
from tweed_shim.records import Record
from tweed_shim.runtime import capabilities, cgroups
from tweed_shim.runtime.cgroups import Cgroups

PROCESSORS = "/sys/devices/system/cpu"
PACKAGES = {"runc": "runc", "crun": "crun", "umoci": "umoci", "pasta": "passt", "newuidmap": "uidmap"}


class Host(Record):
    """The abilities of a host.

    ids: the ids that a run can have. files: the hard limit of open files. capabilities: those that the caller can
    give to a run. machine: what uname(2) calls the hardware. core: the hard limit of a core dump, in bytes.
    oom_score_adj: the caller's, from -1000 to 1000. thermal_throttles: the directories of /sys that count how often
    each processor was too hot, which tells what others on the host do. processes: the hard limit of a user's processes.
    """

    ids: idmap.IdMap
    cgroups: Cgroups
    files: int
    capabilities: frozenset[str]
    machine: str
    core: int = 0
    oom_score_adj: int = 0
    thermal_throttles: tuple[str, ...] = ()
    processes: int = sys.maxsize


def _capabilities(ids: idmap.IdMap) -> frozenset[str]:
    if ids.kind != "host":
        # The first process of a user namespace has all, and they reach no further than that: user_namespaces(7).
        return frozenset(capabilities.NAMES)
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        return capabilities.bounding(file.read())


def _oom_score_adj() -> int:
    with open("/proc/self/oom_score_adj", encoding="utf-8") as file:
        return int(file.read())


def _thermal_throttles(processors: str = PROCESSORS) -> tuple[str, ...]:
    """The directories thermal_throttle of all processors, also of those that are not there yet.

    Where the first processor has none, no other has: virtual machines and most machines that are not Intel's.
    processors: the directory of the kernel's documentation, ABI/testing/sysfs-devices-system-cpu.
    """
    if not os.path.isdir(f"{processors}/cpu0/thermal_throttle"):
        return ()
    with open(f"{processors}/possible", encoding="utf-8") as file:
        ranges = [part.split("-") for part in file.read().strip().split(",")]
    numbers = (number for ends in ranges for number in range(int(ends[0]), int(ends[-1]) + 1))
    return tuple(f"{processors}/cpu{number}/thermal_throttle" for number in numbers)


def _hard_limit(number: int) -> int:
    hard = resource.getrlimit(number)[1]
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def inspect() -> Host:
    """Look at the host as the caller sees it."""
    ids = idmap.detect()
    return Host(
        ids,
        cgroups.inspect(root=ids.kind == "host"),
        _hard_limit(resource.RLIMIT_NOFILE),
        _capabilities(ids),
        os.uname().machine,
        _hard_limit(resource.RLIMIT_CORE),
        _oom_score_adj(),
        _thermal_throttles(),
        _hard_limit(resource.RLIMIT_NPROC),
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
            else f"name an OCI runtime that is there with {option('--runtime')}"
        )
        raise HostError(f"the program '{name}' is not installed; {mend}")
    return path
