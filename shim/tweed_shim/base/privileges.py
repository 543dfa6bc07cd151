"""What this process may do: its capabilities, its user namespace and the ids of that (user_namespaces(7)).

The user id 0 tells little: root of a container, root of a user's namespace (unshare -r) and root without capabilities
have it too. Every run asks, so this module reads a few lines of /proc and nothing else.
"""

import os

from tweed_shim.base.records import Record

# PROC_USER_INIT_INO of the kernel's include/linux/proc_ns.h: the number of the host's own user namespace.
INITIAL_USER_NAMESPACE = 0xEFFFFFFD
# Numbers of capabilities(7).
SETGID, SETUID, SETPCAP, NET_ADMIN, SYS_ADMIN, SETFCAP = 6, 7, 8, 12, 21, 31


class Privileges(Record):
    """The privileges of a process.

    capabilities: the effective ones, bit N for number N. no_new: whether it can gain none, as by a set-user-ID program
    (no_new_privs of prctl(2)). initial: whether its user namespace is the host's own.
    """

    capabilities: int
    no_new: bool
    initial: bool

    def have(self, *numbers: int) -> bool:
        """Tell whether all of these capabilities are effective."""
        return all(self.capabilities >> number & 1 for number in numbers)


def own() -> Privileges:
    """Read the privileges of this process from /proc. Raises OSError where /proc is not mounted."""
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        fields = dict(line.split(":", 1) for line in file.read().splitlines() if ":" in line)
    no_new = fields.get("NoNewPrivs", "").strip() == "1"
    return Privileges(int(fields["CapEff"], 16), no_new, in_initial_namespace())


def in_initial_namespace() -> bool:
    """Tell whether the user namespace of this process is the host's own."""
    return os.stat("/proc/self/ns/user").st_ino == INITIAL_USER_NAMESPACE


def id_ranges(path: str) -> list[tuple[int, int]]:
    """Return the first id and the count of each range in /proc/self/uid_map or gid_map (`path`)."""
    with open(path, encoding="ascii") as file:
        lines = [line.split() for line in file]
    return [(int(first), int(count)) for first, _, count in lines]
