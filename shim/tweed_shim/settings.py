"""Where the store is and which tools are used: what every command shares."""

import os
from collections.abc import Mapping

from tweed_shim import option_values
from tweed_shim.records import Record

ROOTS_PARENT = "/var/lib"


class Settings(Record):
    """What one invocation of the shim works with.

    root: the store's directory, absolute. runtime: the OCI runtime's program, a name looked up on PATH or a path.
    Raises ConfigError for other values.
    """

    root: str
    runtime: str = "runc"

    CHECKS = option_values.checks(root=option_values.path, runtime=option_values.path)


def _is_roots(directory: str) -> bool:
    """Whether a directory belongs to the user 0 of this namespace, or does not exist yet."""
    try:
        return os.stat(directory).st_uid == 0
    except FileNotFoundError:
        return True


def default_root(environ: Mapping[str, str], uid: int) -> str:
    """The store's directory where `--root` names none.

    `$TWEED_SHIM_ROOT`, else `/var/lib/tweed-shim` for root (but not for a user who is root of a namespace, as by
    `unshare -r`, where the directory is somebody else's), else below `$XDG_DATA_HOME` (XDG Base Directory
    Specification: `~/.local/share` where it is unset or not absolute).
    """
    if chosen := environ.get("TWEED_SHIM_ROOT"):
        return os.path.abspath(chosen)
    if uid == 0 and _is_roots(ROOTS_PARENT):
        return f"{ROOTS_PARENT}/tweed-shim"
    data_home = environ.get("XDG_DATA_HOME", "")
    if not os.path.isabs(data_home):
        data_home = os.path.join(os.path.expanduser("~"), ".local", "share")
    return os.path.join(data_home, "tweed-shim")
