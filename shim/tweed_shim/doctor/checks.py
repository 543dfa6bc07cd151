"""The table of checks: what the host has, what will not work without the rest, and how to mend it.

Each check is a function of a CheckContext. It tries a thing (probes.py) where it can, rather than guess. No check
changes the host or creates a store. The last findings are about the store alone (interactions.py).
"""

import os
import platform
import time
from collections.abc import Callable
from contextlib import ExitStack

from tweed_shim.base import trust
from tweed_shim.base.records import replace
from tweed_shim.base.settings import check_root
from tweed_shim.doctor import ids, interactions, probes
from tweed_shim.doctor.findings import (
    MISSING,
    OK,
    WARNING,
    CheckContext,
    Finding,
    lacking_for,
    not_tried,
    read_text,
)
from tweed_shim.errors import ConfigError, ShimError
from tweed_shim.host import programs
from tweed_shim.image import store
from tweed_shim.runtime import advisories, cgroups
from tweed_shim.runtime import host as hosts

LIMITED = {"memory": "--memory", "cpu": "--cpus", "pids": "--pids"}
LITTLE_DISK, NO_DISK = 1 << 30, 10 << 20
LITTLE_MEMORY = 256 << 20
TUN = "/dev/net/tun"
# 2025-01-01: this was written later, so an earlier time is wrong.
EARLIEST = 1735689600


def examine(root: str, runtime: str) -> list[Finding]:
    """Return the findings of all checks for a store and a runtime, as the current user."""
    with ExitStack() as stack:
        directory, refusal, host = "", "", hosts.inspect()
        try:
            check_root(root)
            trust.check_store(root)
            directory = stack.enter_context(probes.directory(root, host.ids))
        except ConfigError as error:
            refusal = str(error)
        except OSError as error:
            refusal = f"{error.filename or root}: {error.strerror}"
        context = CheckContext(root, runtime, host, directory, refusal, ids.namespaces_fault(host))
        return [*(check(context) for check in CHECKS), *interactions.left_behind(context)]


def _kernel(_: CheckContext) -> Finding:
    release = platform.release()
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return Finding(
            "kernel", MISSING, f"Linux {release}", "no run can be watched", "use Linux 5.11 or newer"
        )
    return Finding("kernel", OK, f"Linux {release}")


def _proc(context: CheckContext) -> Finding:
    name = "/proc"
    if context.namespaces or not context.directory:
        return not_tried(name, "namespaces" if context.namespaces else "a directory to write to")
    if fault := probes.fresh_proc(context.host.ids, context.directory):
        mend = "if this is a container, unmask its /proc (docker run --security-opt systempaths=unconfined)"
        return Finding(name, MISSING, fault, "no image can be run", mend)
    return Finding(name, OK, "a fresh one can be mounted")


def _overlay(context: CheckContext) -> Finding:
    name, ids, directory = "overlay", context.host.ids, context.directory
    if context.namespaces or not directory:
        return not_tried(name, "namespaces" if context.namespaces else "a directory to write to")
    in_memory, on_disk = probes.overlay_on_tmpfs(ids, directory), probes.overlay_on_disk(ids, directory)
    if in_memory and on_disk:
        effect = "the root of an image is read-only but for /tmp and /run"
        return Finding(name, WARNING, in_memory, effect, "modprobe overlay, or give a --root on ext4 or xfs")
    if in_memory:
        effect = "what an image writes goes to the disk of the store, not to memory"
        return Finding(name, WARNING, f"not on tmpfs: {in_memory}", effect, "use Linux 6.6 or newer")
    if on_disk:
        effect = "--scratch cannot name a directory on the disk of the store"
        return Finding(name, WARNING, f"on tmpfs only: {on_disk}", effect, "name one on ext4 or xfs")
    return Finding(name, OK, "works on tmpfs and on the disk of the store")


def _cgroups(context: CheckContext) -> Finding:
    name, usable_cgroups = "cgroups", context.host.cgroups
    top = cgroups.TOP
    mode = "v2" if os.path.exists(f"{top}/cgroup.controllers") else "v1"
    mode = "v1 and v2 (hybrid)" if mode == "v1" and os.path.isdir(f"{top}/unified") else mode
    usable = ", ".join(each for each in LIMITED if each in usable_cgroups.controllers) or "no limit"
    lacking = [
        option for controller, option in LIMITED.items() if controller not in usable_cgroups.controllers
    ]
    if not lacking:
        return Finding(name, OK, f"{mode}: {usable}")
    effect = f"{', '.join(lacking)} cannot be enforced: {usable_cgroups.fault}"
    return Finding(name, WARNING, f"{mode}: {usable} for this user", effect, usable_cgroups.remedy)


def _version(program: str) -> tuple[str, str]:
    """Return the version that a program prints and the reason why it cannot be used; one of them is empty."""
    import subprocess

    path = programs.find_program(program)
    if path is None:
        return "", f"the program '{program}' is not installed"
    try:
        done = subprocess.run(
            [path, "--version"], capture_output=True, text=True, errors="replace", timeout=10, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        return "", f"{path} cannot be executed ({error})"
    if done.returncode != 0:
        return "", f"{path} --version failed"
    # Debian 13's pasta exits without flushing its output, so a pipe gets nothing.
    return (done.stdout or done.stderr).strip() or f"{path}, of unknown version", ""


def _program(program: str, state: str, effect: str) -> Finding:
    version, fault = _version(program)
    name = os.path.basename(program)
    if fault:
        package = hosts.PACKAGES.get(name)
        mend = f"apt install {package}" if package else "name an installed runtime with --runtime"
        return Finding(name, state, fault, effect, mend)
    return Finding(name, OK, version.splitlines()[0])


def _runtime(context: CheckContext) -> Finding:
    result = _program(context.runtime, MISSING, "no image can be run")
    if result.state == OK and advisories.follows_links_of_dev(result.found):
        needs = (
            "it would follow links of an image's /dev to the host (CVE-2026-41579); such images are refused"
        )
        return replace(result, found=f"{result.found}; {needs}")
    return result


def _umoci(_: CheckContext) -> Finding:
    return _program("umoci", MISSING, "no image can be unpacked; those that are unpacked can be run")


def _pasta(_: CheckContext) -> Finding:
    effect = "--network pasta will not work"
    finding = _program("pasta", WARNING, effect)
    if finding.state != OK:
        return finding
    # pasta drops its privileges before it opens the device.
    try:
        is_for_all = os.stat(TUN).st_mode & 0o006 == 0o006
    except OSError:
        return Finding("pasta", WARNING, f"there is no {TUN}", effect, "modprobe tun")
    return (
        finding
        if is_for_all
        else Finding("pasta", WARNING, f"{TUN} cannot be opened by all users", effect, f"chmod 0666 {TUN}")
    )


def _seccomp(context: CheckContext) -> Finding:
    name, effect = "seccomp", "images run with --seccomp unconfined only"
    if read_text("/proc/sys/kernel/seccomp/actions_avail") is None:
        return Finding(name, MISSING, "not in this kernel", effect, "use a kernel with CONFIG_SECCOMP_FILTER")
    version, fault = _version(context.runtime)
    if fault:
        return not_tried(name, "a runtime")
    if "libseccomp" not in version and "+SECCOMP" not in version:
        program = os.path.basename(context.runtime)
        return Finding(name, MISSING, f"{program} was built without it", effect, "apt install runc")
    return Finding(name, OK, "in the kernel and in the runtime")


def _store(context: CheckContext) -> Finding:
    name, root, effect = "store", context.root, "no image can be run"
    try:
        exists = store.check_version(root)
    except ShimError as error:
        return Finding(name, MISSING, str(error), effect, "give another --root")
    if context.refusal:
        mend = "give another --root, or let this user write there"
        return Finding(name, MISSING, f"{root} cannot be written ({context.refusal})", effect, mend)
    if not exists:
        return Finding(name, OK, f"{root}, created by the first pull")
    status = os.stat(root)
    if status.st_uid != os.geteuid():
        effect = "files of this user may hinder the owner of the store, and the other way round"
        return Finding(
            name, WARNING, f"{root} belongs to user {status.st_uid}", effect, "give another --root"
        )
    if status.st_mode & 0o077:
        effect = "others may read configurations and logs"
        return Finding(name, WARNING, f"{root} is open to others", effect, f"chmod 700 {root}")
    return Finding(name, OK, f"{root}, version {store.VERSION}")


def _disk(context: CheckContext) -> Finding:
    name, path = "disk", probes.nearest(context.root)
    status = os.statvfs(path)
    free = status.f_bavail * status.f_frsize
    found = f"{store.megabytes(free)} free at {path}"
    mend = f"tweed-shim gc --root {context.root}"
    if status.f_files and not status.f_favail:
        return Finding(name, MISSING, f"no more files fit at {path}", "no image can be run", mend)
    if free < NO_DISK:
        return Finding(name, MISSING, found, "no image can be run, as no run can be recorded", mend)
    if free < LITTLE_DISK:
        return Finding(name, WARNING, found, "an image may not fit", mend)
    return Finding(name, OK, found)


def _memory(_: CheckContext) -> Finding:
    lines = (read_text("/proc/meminfo") or "").splitlines()
    available = [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
    if not available:
        return Finding("memory", OK, "unknown: /proc/meminfo has no MemAvailable")
    found = f"{store.megabytes(available[0])} available"
    if available[0] < LITTLE_MEMORY:
        effect = "what an image writes to its root may not fit"
        return Finding("memory", WARNING, found, effect, "put it on disk with --scratch DIR")
    return Finding("memory", OK, found)


def _clock(_: CheckContext) -> Finding:
    now = time.time()
    found = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    if now < EARLIEST:
        effect = "certificates of registries count as not yet valid"
        return Finding("clock", WARNING, found, effect, "timedatectl set-ntp true")
    return Finding("clock", OK, found)


def _run(context: CheckContext) -> Finding:
    name = "run"
    if lacking := lacking_for(context):
        return not_tried(name, lacking)
    fault, warnings = probes.run(
        context.directory, programs.find_program(context.runtime) or "", context.host
    )
    if fault:
        return Finding(
            name, MISSING, fault, "no image can be run", "mend the findings above, and run doctor again"
        )
    if warnings:
        return Finding(name, WARNING, "a container ran", warnings[0], "mend the findings above")
    return Finding(name, OK, "a container started and exited with code 0")


CHECKS: tuple[Callable[[CheckContext], Finding], ...] = (
    _kernel,
    ids.namespaces,
    ids.ids,
    _proc,
    _overlay,
    _cgroups,
    ids.userns_option,
    _seccomp,
    _runtime,
    _umoci,
    _pasta,
    _store,
    _disk,
    _memory,
    _clock,
    _run,
)
