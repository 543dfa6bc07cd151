"""Words for what a host forbids: why no namespaces can be made, and what complaints of a runtime say of the host."""

import os
import re

from tweed_shim import privileges

SWITCHES = (
    ("user.max_user_namespaces", "0", "15000"),
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
)
CHROOT = (
    "the root directory is no mount point, as in a plain chroot, where neither namespaces nor a new root can be made; "
    "bind the directory to itself before (mount --rbind DIR DIR) and enter it with unshare -m and pivot_root, or use a "
    "container or systemd-nspawn in its place"
)
MASKED_PROC = (
    "something lies over a part of this host's /proc, as in a container, and then no fresh one can be mounted; start "
    "that container with --security-opt systempaths=unconfined (docker) or --security-opt unmask=ALL (podman)"
)
# What a runtime says, and what it means.
_RUNTIME = (
    (
        r"pivot_root.*invalid argument",
        CHROOT,
    ),
    (
        r"hybrid mode",
        "crun does not work with control groups of both versions, as this host has them; use the runtime runc, or "
        "start the host with systemd.unified_cgroup_hierarchy=1",
    ),
)


def of_runtime(complaint: str) -> str | None:
    """Return what a runtime's complaint says of the host, and what to do; None where it may be of the image."""
    return next((words for pattern, words in _RUNTIME if re.search(pattern, complaint, re.IGNORECASE)), None)


def is_chroot() -> bool:
    """Whether nothing is mounted on the root directory: its line is missing in proc(5), /proc/PID/mountinfo."""
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            return all(line.split()[4] != b"/" for line in file)
    except OSError:
        return False


def ids_remedy() -> str:
    """What a caller can do about it that a user namespace was refused its ids."""
    held = privileges.own()
    if os.geteuid() == 0:
        if not held.have(privileges.SETFCAP):
            return (
                "root needs CAP_SETFCAP to map the id 0 (Linux 5.12 and newer), and has no such capability here; give "
                "it that (docker run --cap-add SETFCAP), or run it as another user"
            )
        return "run it as the user outside of this user namespace, or as another user than root"
    if held.no_new:
        return (
            "this process may gain no privileges (no_new_privs), so that newuidmap has none; start it without "
            "(systemd: NoNewPrivileges=no, docker: without --security-opt no-new-privileges)"
        )
    return "compare /etc/subuid and /etc/subgid: no two users may have the same ids, and each line is NAME:FIRST:COUNT"


def namespace_remedy(*, host_root: bool) -> str:
    """What a caller that may make no namespaces can do about it. host_root: whether it needs no user namespace."""
    if is_chroot():
        return CHROOT
    if host_root:
        return "if this is a container, give it CAP_SYS_ADMIN (docker run --privileged)"
    if os.geteuid() == 0 and not privileges.own().have(privileges.SETFCAP):
        return ids_remedy()
    refusing = [f"sysctl -w {switch}={good}" for switch, bad, good in SWITCHES if _value(switch) == bad]
    return " && ".join(refusing) or "if this is a container, run it with --security-opt seccomp=unconfined"


def _value(switch: str) -> str | None:
    try:
        with open(f"/proc/sys/{switch.replace('.', '/')}", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return None
