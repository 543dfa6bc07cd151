"""What a run needs of the host, looked at one by one: what is there, what will not work, and what mends it.

A table of checks; each is a plain function of a Patient. What can be done is done (trials.py) rather than guessed.
Nothing is changed, and no store is made.
"""

import os
import platform
import time
from collections.abc import Callable
from contextlib import ExitStack

from tweed_shim import idmap, trials, trust
from tweed_shim.errors import ConfigError, ShimError
from tweed_shim.image import store
from tweed_shim.records import Record, replace
from tweed_shim.runtime import advisories, cgroups
from tweed_shim.runtime import host as hosts
from tweed_shim.runtime.confinement import USERNS, userns_by_default
from tweed_shim.runtime.host import Host
from tweed_shim.settings import check_root

OK, WARNING, MISSING = "ok", "warning", "missing"
LIMITED = {"memory": "--memory", "cpu": "--cpus", "pids": "--pids"}
LITTLE_DISK, NO_DISK = 1 << 30, 10 << 20
LITTLE_MEMORY = 256 << 20
# As useradd(8) grants them by default.
SUBORDINATE = ("/etc/subuid", "/etc/subgid")
FIRST_SUBORDINATE, ENOUGH_IDS, LARGEST_ID = 100_000, 65_536, (1 << 32) - 2
TUN = "/dev/net/tun"
# No clock that is right shows a time before this was written: 2025-01-01.
EARLIEST = 1735689600
SWITCHES = (
    ("user.max_user_namespaces", "0", "15000"),
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
)


class Finding(Record):
    """What a check found.

    state: `ok`; `warning`, where something will not work; `missing`, where no image can be run. effect: what will
    not work. mend: the command, or what else is to be done, that mends it. Both are empty where all is fine.
    """

    name: str
    state: str
    found: str
    effect: str = ""
    mend: str = ""


class Patient(Record):
    """What is examined.

    place: a directory where the store is or would be, empty where nothing can be written there; then `refusal` says
    why. namespaces: why none can be made, empty where they can.
    """

    root: str
    runtime: str
    host: Host
    place: str
    refusal: str
    namespaces: str

    @property
    def is_root(self) -> bool:
        """Whether it has all ids of the host."""
        return self.host.ids.kind == "host"


def examine(root: str, runtime: str) -> list[Finding]:
    """Examine the host for runs of a store's images, as the user who asks."""
    with ExitStack() as stack:
        place, refusal, host = "", "", hosts.inspect()
        try:
            check_root(root)
            trust.check_store(root)
            place = stack.enter_context(trials.directory(root, host.ids))
        except ConfigError as error:
            refusal = str(error)
        except OSError as error:
            refusal = f"{error.filename or root}: {error.strerror}"
        patient = Patient(root, runtime, host, place, refusal, _namespaces_fault(host))
        return [check(patient) for check in CHECKS]


def healthy(findings: list[Finding]) -> bool:
    """Whether images can be run at all."""
    return all(finding.state != MISSING for finding in findings)


def _namespaces_fault(host: Host) -> str:
    if host.ids.kind == "host":
        return trials.namespaces(host.ids)
    # The caller's own id alone, which needs nobody's grant: ids are another check's business.
    return trials.namespaces(replace(host.ids, kind="single", uids=host.ids.uids[:1], gids=host.ids.gids[:1]))


def _not_tried(name: str, why: str) -> Finding:
    return Finding(name, WARNING, f"cannot be tried without {why}", "mend that first, and ask again")


def _kernel(_: Patient) -> Finding:
    release = platform.release()
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return Finding(
            "kernel", MISSING, f"Linux {release}", "no run can be watched", "use Linux 5.11 or newer"
        )
    return Finding("kernel", OK, f"Linux {release}")


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None


def _namespaces(patient: Patient) -> Finding:
    name = "namespaces"
    if not patient.namespaces:
        return Finding(name, OK, "can be made")
    mend = "if this is a container, give it CAP_SYS_ADMIN (docker run --privileged)"
    if not patient.is_root:
        refusing = [
            f"sysctl -w {switch}={good}"
            for switch, bad, good in SWITCHES
            if _read(f"/proc/sys/{switch.replace('.', '/')}") == bad
        ]
        mend = (
            " && ".join(refusing) or "if this is a container, run it with --security-opt seccomp=unconfined"
        )
    return Finding(name, MISSING, patient.namespaces, "no image can be run", mend)


def _ids(patient: Patient) -> Finding:
    name, ids = "ids", patient.host.ids
    if patient.is_root:
        return Finding(name, OK, "all of the host's, as root")
    if ids.kind == "single":
        lacking = [helper for helper in idmap.HELPERS if idmap.find_program(helper) is None]
        account, free = idmap.account_name(), _free_ids()
        mend = (
            "apt install uidmap"
            if lacking
            else f"usermod --add-subuids {free} --add-subgids {free} {account}"
        )
        found = f"{' and '.join(lacking)} not found" if lacking else "no range in /etc/subuid and /etc/subgid"
        effect = "every image runs as its root, which is you, and its files all belong to you"
        return Finding(name, WARNING, found, effect, mend)
    if patient.namespaces:
        return _not_tried(name, "namespaces")
    if fault := trials.mapped(ids):
        return Finding(name, MISSING, fault, "no image can be run", _ids_mend())
    return Finding(name, OK, f"{sum(each.length for each in ids.uids)} in /etc/subuid and /etc/subgid")


def _free_ids(*files: str) -> str:
    """The first range that nobody has been granted: whose ids are another's, too, may look into that one's files.

    Where none is left, whoever reads it has to find one.
    """
    taken = [(first, count) for path in files or SUBORDINATE for _, first, count in idmap.grants(path)]
    free = FIRST_SUBORDINATE
    for first, count in sorted(taken):
        if first < free + ENOUGH_IDS:
            free = max(free, first + count)
    return f"{free}-{free + ENOUGH_IDS - 1}" if free + ENOUGH_IDS <= LARGEST_ID else "FIRST-LAST"


def _ids_mend() -> str:
    for helper in idmap.HELPERS:
        path = idmap.find_program(helper) or helper
        if not os.stat(path).st_mode & 0o4000 and "security.capability" not in os.listxattr(path):
            return "apt install --reinstall uidmap"
    return "compare /etc/subuid and /etc/subgid: no two users may have the same ids"


def _proc(patient: Patient) -> Finding:
    name = "/proc"
    if patient.namespaces or not patient.place:
        return _not_tried(name, "namespaces" if patient.namespaces else "a place to write")
    if fault := trials.fresh_proc(patient.host.ids, patient.place):
        mend = "if this is a container, unmask its /proc (docker run --security-opt systempaths=unconfined)"
        return Finding(name, MISSING, fault, "no image can be run", mend)
    return Finding(name, OK, "a fresh one can be mounted")


def _overlay(patient: Patient) -> Finding:
    name, ids, place = "overlay", patient.host.ids, patient.place
    if patient.namespaces or not place:
        return _not_tried(name, "namespaces" if patient.namespaces else "a place to write")
    in_memory, on_disk = trials.overlay_on_tmpfs(ids, place), trials.overlay_on_disk(ids, place)
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


def _cgroups(patient: Patient) -> Finding:
    name, found = "cgroups", patient.host.cgroups
    top = cgroups.TOP
    mode = "v2" if os.path.exists(f"{top}/cgroup.controllers") else "v1"
    mode = "v1 and v2 (hybrid)" if mode == "v1" and os.path.isdir(f"{top}/unified") else mode
    usable = ", ".join(each for each in LIMITED if each in found.controllers) or "no limit"
    lacking = [option for controller, option in LIMITED.items() if controller not in found.controllers]
    if not lacking:
        return Finding(name, OK, f"{mode}: {usable}")
    effect = f"{', '.join(lacking)} cannot be enforced: {found.fault}"
    return Finding(name, WARNING, f"{mode}: {usable} for this user", effect, found.mend)


def _version(program: str) -> tuple[str, str]:
    """What a program says about its version, and why it cannot be used: one of them is empty."""
    import subprocess

    path = idmap.find_program(program)
    if path is None:
        return "", f"the program '{program}' is not installed"
    try:
        done = subprocess.run(
            [path, "--version"], capture_output=True, text=True, errors="replace", timeout=10, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        return "", f"{path} cannot be executed ({error})"
    if done.returncode != 0:
        return "", f"{path} does not tell its version"
    # Debian 13's pasta leaves without flushing what it wrote, so that a pipe gets nothing.
    return (done.stdout or done.stderr).strip() or f"{path}, of unknown version", ""


def _program(program: str, state: str, effect: str) -> Finding:
    version, fault = _version(program)
    name = os.path.basename(program)
    if fault:
        package = hosts.PACKAGES.get(name)
        mend = f"apt install {package}" if package else "name one that is there with --runtime"
        return Finding(name, state, fault, effect, mend)
    return Finding(name, OK, version.splitlines()[0])


def _runtime(patient: Patient) -> Finding:
    result = _program(patient.runtime, MISSING, "no image can be run")
    if result.state == OK and advisories.follows_links_of_dev(result.found):
        needs = (
            "it would follow links of an image's /dev to the host (CVE-2026-41579); such images are refused"
        )
        return replace(result, found=f"{result.found}; {needs}")
    return result


def _umoci(_: Patient) -> Finding:
    return _program("umoci", MISSING, "no image can be unpacked; those that are unpacked can be run")


def _pasta(_: Patient) -> Finding:
    effect = "--network pasta will not work"
    found = _program("pasta", WARNING, effect)
    if found.state != OK:
        return found
    # pasta gives its privileges up before it opens it.
    try:
        everybody = os.stat(TUN).st_mode & 0o006 == 0o006
    except OSError:
        return Finding("pasta", WARNING, f"there is no {TUN}", effect, "modprobe tun")
    return (
        found
        if everybody
        else Finding("pasta", WARNING, f"{TUN} is not for everybody", effect, f"chmod 0666 {TUN}")
    )


def _seccomp(patient: Patient) -> Finding:
    name, effect = "seccomp", "images run with --seccomp unconfined only"
    if _read("/proc/sys/kernel/seccomp/actions_avail") is None:
        return Finding(name, MISSING, "not in this kernel", effect, "use a kernel with CONFIG_SECCOMP_FILTER")
    version, fault = _version(patient.runtime)
    if fault:
        return _not_tried(name, "a runtime")
    if "libseccomp" not in version and "+SECCOMP" not in version:
        program = os.path.basename(patient.runtime)
        return Finding(name, MISSING, f"{program} was built without it", effect, "apt install runc")
    return Finding(name, OK, "in the kernel and in the runtime")


def _store(patient: Patient) -> Finding:
    name, root, effect = "store", patient.root, "no image can be run"
    try:
        there = store.check_version(root)
    except ShimError as error:
        return Finding(name, MISSING, str(error), effect, "give another --root")
    if patient.refusal:
        mend = "give another --root, or let this user write there"
        return Finding(name, MISSING, f"{root} cannot be written ({patient.refusal})", effect, mend)
    if not there:
        return Finding(name, OK, f"{root}, made when it is needed")
    about = os.stat(root)
    if about.st_uid != os.geteuid():
        effect = "what this user makes there may hinder its owner, and the other way round"
        return Finding(name, WARNING, f"{root} belongs to user {about.st_uid}", effect, "give another --root")
    if about.st_mode & 0o077:
        effect = "others may see configurations and logs"
        return Finding(name, WARNING, f"{root} is open to others", effect, f"chmod 700 {root}")
    return Finding(name, OK, f"{root}, version {store.VERSION}")


def _disk(patient: Patient) -> Finding:
    name, place = "disk", trials.nearest(patient.root)
    about = os.statvfs(place)
    free = about.f_bavail * about.f_frsize
    found = f"{store.megabytes(free)} free at {place}"
    mend = f"tweed-shim gc --root {patient.root}"
    if about.f_files and not about.f_favail:
        return Finding(name, MISSING, f"no more files fit at {place}", "no image can be run", mend)
    if free < NO_DISK:
        return Finding(name, MISSING, found, "no image can be run, as nothing can be written down", mend)
    if free < LITTLE_DISK:
        return Finding(name, WARNING, found, "an image may not fit", mend)
    return Finding(name, OK, found)


def _memory(_: Patient) -> Finding:
    lines = (_read("/proc/meminfo") or "").splitlines()
    available = [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
    if not available:
        return Finding("memory", OK, "not told by this host")
    found = f"{store.megabytes(available[0])} available"
    if available[0] < LITTLE_MEMORY:
        effect = "what an image writes to its root may not fit"
        return Finding("memory", WARNING, found, effect, "put it on disk with --scratch DIR")
    return Finding("memory", OK, found)


def _clock(_: Patient) -> Finding:
    now = time.time()
    found = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    if now < EARLIEST:
        effect = "registries' certificates are taken for not yet valid"
        return Finding("clock", WARNING, found, effect, "timedatectl set-ntp true")
    return Finding("clock", OK, found)


def _lacking(patient: Patient) -> str | None:
    """What has to be there before a run can be tried, and is not."""
    wants = {
        "namespaces": not patient.namespaces,
        "a place to write": patient.place,
        "a runtime": idmap.find_program(patient.runtime),
    }
    return next((want for want, there in wants.items() if not there), None)


def _userns(patient: Patient) -> Finding:
    name, effect = "--userns", "--userns will not work"
    if not patient.is_root:
        return Finding(name, OK, "every run has a user namespace, as this user is not root")
    try:
        ids = idmap.granted_to_root()
    except ShimError:
        mend = "echo containers:2147483647:2147483648 | tee -a /etc/subuid /etc/subgid"
        return Finding(name, WARNING, "no ids for it in /etc/subuid and /etc/subgid", effect, mend)
    if lacking := _lacking(patient):
        return _not_tried(name, lacking)
    fault, _ = trials.run(patient.place, idmap.find_program(patient.runtime) or "", patient.host, ids)
    if fault:
        mend = "use Linux 5.19 or newer, and give a --root on ext4, xfs or btrfs"
        return Finding(name, WARNING, fault, effect, mend)
    found = f"{sum(each.length for each in ids.uids)} ids, and a container ran with them"
    return _userns_default(name, found)


def _userns_default(name: str, found: str) -> Finding:
    """Advise a host that can run root's containers in user namespaces to do so by default."""
    try:
        if userns_by_default(os.environ):
            return Finding(name, OK, f"{found}; ${USERNS} makes it the default")
    except ConfigError as error:
        return Finding(name, MISSING, str(error), "no image can be run", f"export {USERNS}=1")
    # Nothing is amiss, so this is advice and not a warning.
    advice = f"{USERNS}=1 makes it the default, and keeps users of this host out of root's containers"
    return Finding(name, OK, f"{found}; {advice}")


def _run(patient: Patient) -> Finding:
    name = "run"
    if lacking := _lacking(patient):
        return _not_tried(name, lacking)
    fault, warnings = trials.run(patient.place, idmap.find_program(patient.runtime) or "", patient.host)
    if fault:
        return Finding(name, MISSING, fault, "no image can be run", "mend what is said above, and ask again")
    if warnings:
        return Finding(name, WARNING, "a container ran", warnings[0], "mend what is said above")
    return Finding(name, OK, "a container started, and ended as it should")


CHECKS: tuple[Callable[[Patient], Finding], ...] = (
    _kernel,
    _namespaces,
    _ids,
    _proc,
    _overlay,
    _cgroups,
    _userns,
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
