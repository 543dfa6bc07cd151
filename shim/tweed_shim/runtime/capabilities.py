"""Which capabilities (capabilities(7)) a container has: podman's default ones, and what the user adds and drops."""

from collections.abc import Collection

from tweed_shim.errors import ConfigError, HostError
from tweed_shim.option_names import bare, option

ALL = "ALL"
# In the order of their numbers.
_KNOWN = """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
    NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
    SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
    MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
# What podman grants: enough for package managers and servers, nothing that reaches the host.
_USUAL = "CHOWN DAC_OVERRIDE FOWNER FSETID KILL NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT"
NAMES = tuple(f"CAP_{name}" for name in _KNOWN.split())
DEFAULT = frozenset(f"CAP_{name}" for name in _USUAL.split())


def parse(text: str) -> str:
    """The name of a capability, `CAP_` being optional and case of no meaning, or ALL. Raises ConfigError."""
    name = text.upper()
    full = name if name == ALL or name.startswith("CAP_") else f"CAP_{name}"
    if full != ALL and full not in NAMES:
        raise ConfigError(
            f"there is no capability {text!r}; capabilities(7) lists them, and ALL is all of them"
        )
    return full


def choose(add: Collection[str], drop: Collection[str], held: Collection[str]) -> tuple[str, ...]:
    """The capabilities of a container, from the default ones and those to add and to drop, as `parse` gives them.

    held: those that the caller can give. Of ALL it is these; one that was asked for by name has to be among them.
    Raises ConfigError for one that is to be added and dropped, HostError for one that cannot be given.
    """
    both = sorted(set(add) & set(drop))
    if both:
        raise ConfigError(
            f"{both[0]} is to be added and dropped; leave one of {bare('--cap-add')} and {bare('--cap-drop')} out"
        )
    named = {*add} - {ALL}
    missing = sorted(named - {*held})
    if missing:
        raise HostError(
            f"{missing[0]} cannot be added: the caller does not have it; leave out {option('--cap-add', missing[0])}"
        )
    base = {*held} if ALL in add else set[str]() if ALL in drop else {*DEFAULT} & {*held}
    return tuple(sorted((base | named) - {*drop}))


def bounding(status: str) -> frozenset[str]:
    """The capabilities in the bounding set of a process, from its /proc/PID/status (proc(5))."""
    line = next((line for line in status.splitlines() if line.startswith("CapBnd:")), "CapBnd: 0")
    bits = int(line.split()[1], 16)
    return frozenset(name for number, name in enumerate(NAMES) if bits >> number & 1)
