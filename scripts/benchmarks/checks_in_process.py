"""Runs inside of the installed package, for checks.py: the security checks of one run, many times in one process.

A setup is carried out once, and each call of a check is noted with its arguments. Then these calls are repeated and
timed, and so are the imports that they need. What process 1 of the sandbox does besides is done, and timed, in a mount
namespace of our own.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from tweed_shim import Shim
from tweed_shim.runtime import kernel, mounts
from tweed_shim.tweed.backend import Options

# The module that calls a check, or that it is looked up in; its name; and how many times one run does it.
CHECKS = (
    ("tweed_shim.trust", "check_store", 1),
    ("tweed_shim.tweed.backend", "confine", 1),
    ("tweed_shim.runtime.host", "_oom_score_adj", 1),
    ("tweed_shim.runtime.host", "_thermal_throttles", 1),
    ("tweed_shim.tweed.ownership", "check_cloud", 1),
    ("tweed_shim.runtime.executables", "find_executable", 1),
    # In the shim, and by process 1 of the sandbox on the root that the runtime gets.
    ("tweed_shim.runtime.spec", "check_image", 2),
)
# Those that are there for checks alone; the command line imports them anew with every start.
MODULES = (
    "tweed_shim.trust",
    "tweed_shim.tweed.ownership",
    "tweed_shim.runtime.executables",
    "tweed_shim.runtime.mount_points",
)
Call = Callable[[], object]


def noted_calls(task: dict[str, Any]) -> dict[str, Call]:
    """Carry out a setup, and return the calls of its checks by their names."""
    calls: dict[str, Call] = {}

    def noting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            calls[name] = lambda: function(*arguments, **named)
            return function(*arguments, **named)

        return call

    for module, name, _ in CHECKS:
        place = import_module(module)
        setattr(place, name, noting(name, getattr(place, name)))
    backend = Shim(root=task["root"]).backend(task["reference"], options=Options(network="none"))
    backend.setup(replace=True)
    return calls


def timed(call: Call, times: int = 1) -> float:
    """Return how many seconds a call takes, `times` times."""
    started = time.perf_counter()
    for _ in range(times):
        call()
    return time.perf_counter() - started


def import_anew() -> None:
    """Import the modules of the checks as a process does that has only just begun."""
    for name in MODULES:
        del sys.modules[name]
    for name in MODULES:
        import_module(name)


def enter_mount_namespace() -> None:
    """Leave the host's mounts alone from now on: a user needs a user namespace for that."""
    uid, gid = os.geteuid(), os.getegid()
    kernel.unshare(kernel.CLONE_NEWNS | (kernel.CLONE_NEWUSER if uid else 0))
    if uid:
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            with open(f"/proc/self/{name}", "w", encoding="utf-8") as file:
                file.write(text)
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)


def show_sys(directory: str, repetitions: int) -> list[float]:
    """Return the seconds that it takes to show the host's /sys read-only, as the network `host` needs it."""
    enter_mount_namespace()
    kernel.mount("tmpfs", directory, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV)
    seconds = []
    for number in range(repetitions):
        target = os.path.join(directory, str(number))
        seconds.append(timed(partial(mounts.show_sys, target)))
    return seconds


def main(task: dict[str, Any]) -> None:
    """Print the seconds of each check, as many as there are repetitions."""
    calls, repetitions = noted_calls(task), task["repetitions"]
    seconds: dict[str, list[float]] = {}
    for module, name, times in CHECKS:
        label = f"{module.removeprefix('tweed_shim.')}: {name}"
        seconds[label] = [timed(calls[name], times) for _ in range(repetitions)]
    seconds["imports of these modules"] = [timed(import_anew) for _ in range(repetitions)]
    # Last: this process has other mounts afterwards.
    seconds["runtime.mounts: show_sys"] = show_sys(task["directory"], repetitions)
    print(json.dumps(seconds))


main(json.loads(sys.argv[1]))
