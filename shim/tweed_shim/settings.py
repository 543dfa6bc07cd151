"""Where the store is and which tools are used: what every command shares. And where the home directory is."""

import os
from collections.abc import Mapping

from tweed_shim import option_values
from tweed_shim.errors import ConfigError
from tweed_shim.option_names import option
from tweed_shim.records import Record

LOG_LIMIT = 1 << 30
LARGEST_LOG_LIMIT = (1 << 63) - 1
ROOTS_PARENT = "/var/lib"


def _check_root_text(value: object) -> object:
    return value if value == "" else option_values.path(value)


class Settings(Record):
    """What one invocation of the shim works with.

    root: the store's directory, absolute; empty where none is named and there is no home directory for it. runtime: the
    OCI runtime's program, a name looked up on PATH or a path. log_limit: what the logs of all runs may take on disk
    together, bytes. Raises ConfigError for other values.
    """

    root: str
    runtime: str = "runc"
    log_limit: int = LOG_LIMIT

    CHECKS = option_values.checks(
        root=_check_root_text,
        runtime=option_values.path,
        log_limit=option_values.whole_number(most=LARGEST_LOG_LIMIT, example="1073741824"),
    )


def _is_roots(directory: str) -> bool:
    """Whether a directory belongs to the user 0 of this namespace, or does not exist yet."""
    try:
        return os.stat(directory).st_uid == 0
    except FileNotFoundError:
        return True


def default_root(environ: Mapping[str, str], uid: int) -> str:
    """Return the store's directory where `--root` names none, or an empty text where there is none.

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
        home = home_directory(environ)
        if home is None:
            return ""
        data_home = os.path.join(home, ".local", "share")
    return os.path.join(data_home, "tweed-shim")


def default_log_limit(environ: Mapping[str, str]) -> int:
    """Return what `$TWEED_SHIM_LOG_LIMIT` says, such as 512m, else 1 GiB. Raises ConfigError where it is no size."""
    text = environ.get("TWEED_SHIM_LOG_LIMIT")
    if not text:
        return LOG_LIMIT
    from tweed_shim import sizes

    try:
        return sizes.parse(text)
    except ValueError as error:
        raise ConfigError(f"$TWEED_SHIM_LOG_LIMIT: {error}") from None


def check_root(root: str) -> None:
    """Raise ConfigError where a store's directory is not known, or not absolute."""
    if not root:
        raise ConfigError(
            f"there is no directory for the store: none is named, and {missing_home()}; set HOME, or name one with "
            f"{option('--root')} or $TWEED_SHIM_ROOT"
        )
    if not os.path.isabs(root):
        raise ConfigError(f"the store {root!r} is not an absolute path; give one with {option('--root')}")


def home_directory(environ: Mapping[str, str]) -> str | None:
    """Return the caller's home directory: `$HOME`, else the one in /etc/passwd; None where neither is absolute.

    `os.path.expanduser` returns `~` itself where there is none, as for the random ids of containers, and that would be
    a directory of this name in the working directory, which another user can have prepared.
    """
    home = environ.get("HOME", "")
    if os.path.isabs(home):
        return home
    import pwd

    try:
        home = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return None
    return home if os.path.isabs(home) else None


def missing_home() -> str:
    """Return why there is no home directory, as a part of a sentence."""
    return (
        "there is no home directory (HOME is not an absolute path, and user "
        f"{os.getuid()} has none in /etc/passwd)"
    )


def expand_home(path: str, environ: Mapping[str, str]) -> str:
    """Return a path whose leading `~/` is replaced by the home directory. Raises ConfigError where there is none."""
    if not path.startswith("~/"):
        return path
    home = home_directory(environ)
    if home is None:
        raise ConfigError(f"{path} cannot be found: {missing_home()}; set HOME, or name a path without ~")
    return os.path.join(home, path[2:])
