"""Decide which files are trusted: those of the caller and of root that no other user can change.

What another user prepared can lead a run anywhere: a lock that is a link to /etc/passwd, a credential program of that
user's choice. So the store, a --scratch directory and files with credentials are refused unless they belong to the
caller or to root, as git refuses a repository (safe.directory) and OpenSSH a configuration (StrictModes).

Every run passes through `check_store`: one lstat(2) for each directory on the way, 0.03 ms in all.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress

from tweed_shim.base.option_names import option
from tweed_shim.base.privileges import in_initial_namespace
from tweed_shim.base.records import Record
from tweed_shim.errors import ConfigError

# Directories, separated by ":", whose owner and mode are not looked at: git's safe.directory.
SAFE = "TWEED_SHIM_SAFE_DIRECTORY"
# What the kernel shows for an id that a user namespace does not map: /proc/sys/kernel/overflowuid.
UNMAPPED = 65534
# As many as the kernel follows: path_resolution(7).
MOST_LINKS = 40


class Entry(Record):
    """A directory, link or file that a path leads through. shared: others can make entries beside it."""

    path: str
    status: os.stat_result
    shared: bool

    def __str__(self) -> str:
        """The kind of the entry, for messages."""
        kinds = {stat.S_IFLNK: "link", stat.S_IFDIR: "directory"}
        return f"the {kinds.get(stat.S_IFMT(self.status.st_mode), 'file')} {self.path}"


def owners() -> tuple[int, ...]:
    """Return the users whose files are trusted: the caller, root, and as root the one who called sudo, as git does."""
    caller = os.geteuid()
    sudo = os.environ.get("SUDO_UID", "")
    if caller == 0 and sudo.isascii() and sudo.isdigit() and len(sudo) < 11:
        return 0, int(sudo)
    return caller, 0


def is_trusted(entry: Entry) -> bool:
    """Say whether somebody trusted made what is there, or the caller declares it safe."""
    uid = entry.status.st_uid
    # A user namespace does not map the host's root either. Where others can make entries it may be anybody. The id can
    # also be one that the namespace has: then it is one of the caller's own.
    unmapped = uid == UNMAPPED and not entry.shared and not in_initial_namespace()
    return uid in owners() or unmapped or _is_safe(entry.path)


def is_shared(directory: os.stat_result) -> bool:
    """Say whether everybody, or a whole group as in a sticky directory, can make entries in a directory."""
    mode = directory.st_mode
    return bool(mode & stat.S_IWOTH or (mode & stat.S_ISVTX and mode & stat.S_IWGRP))


def user_name(uid: int) -> str:
    """Return a user's name and number for messages."""
    import pwd

    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def check_store(root: str) -> None:
    """Raise ConfigError where another user owns a store, can write to it, or can replace it.

    For a store that does not exist yet, the directories above are checked.
    """
    with suppress(FileNotFoundError):
        status = os.stat(root)
        # Not that of who called sudo: what root makes in it would be in that user's way.
        if status.st_uid not in (os.geteuid(), 0):
            raise ConfigError(
                f"the store {root} belongs to {user_name(status.st_uid)}, not to you or root; run the command as that "
                f"user, or give another {option('--root')}"
            )
        if writers := _writers(status):
            # A sticky directory is shared on purpose, as /var/tmp is: its mode must stay.
            chmod = (
                ""
                if status.st_mode & stat.S_ISVTX
                else f"look at what is in it and run chmod 700 {root}, or "
            )
            raise ConfigError(
                f"the store {root} can be written by {writers}; {chmod}give another {option('--root')}"
            )
    if fault := _fault_on_the_way(root):
        raise ConfigError(f"the store {root} is not safe: {fault}give another {option('--root')}")


def check_scratch(directory: str) -> None:
    """Raise ConfigError where another user can change what a run writes to a directory."""
    if fault := _fault_on_the_way(os.path.abspath(directory)):
        raise ConfigError(
            f"the scratch {directory} is not safe: {fault}name another with {option('--scratch')}"
        )


def check_file(fd: int, path: str, what: str) -> None:
    """Raise ConfigError where another user owns an open file or can write to it. what: its name for messages."""
    status = os.fstat(fd)
    if _is_safe(os.path.dirname(os.path.abspath(path))):
        return
    if status.st_uid not in owners():
        raise ConfigError(
            f"{what} belongs to {user_name(status.st_uid)}, not to you or root, and is not used; use a copy that "
            "belongs to you, or run the command as that user"
        )
    if writers := _writers(status):
        raise ConfigError(
            f"{what} can be written by {writers}, and is not used; look at what is in it and run chmod go-w {path}"
        )


def _fault_on_the_way(path: str) -> str:
    """Return the directory or link on the way along a path that another user can change.

    It is the part of a sentence that an alternative follows; an empty text where there is none.
    """
    for entry in _entries(path):
        if not is_trusted(entry):
            return f"{entry} belongs to {user_name(entry.status.st_uid)}, not to you or root; "
        if not stat.S_ISDIR(entry.status.st_mode) or entry.status.st_mode & stat.S_ISVTX:
            # In a sticky directory users cannot rename or remove entries of other users: rename(2), EPERM.
            continue
        if (writers := _writers(entry.status)) and not _is_safe(entry.path):
            return f"{entry} can be written by {writers}; run chmod go-w {entry.path}, or "
    return ""


def _entries(path: str) -> Iterator[Entry]:
    """Yield each directory and link from / to the end of an absolute path, as far as there is something."""
    here, status, links = "/", os.lstat("/"), 0
    yield Entry(here, status, False)
    rest = path.split("/")[::-1]
    while rest:
        name = rest.pop()
        if name in ("", "."):
            continue
        if name == "..":
            here = os.path.dirname(here)
            status = os.lstat(here)
            continue
        step = f"{here.rstrip('/')}/{name}"
        try:
            next_status = os.lstat(step)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return  # opening it will report the error
        yield Entry(step, next_status, is_shared(status))
        if not stat.S_ISLNK(next_status.st_mode):
            here, status = step, next_status
            continue
        links += 1
        if links > MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = os.readlink(step)
        rest += target.split("/")[::-1]
        if target.startswith("/"):
            here, status = "/", os.lstat("/")


def _writers(status: os.stat_result) -> str:
    """Return the users besides the owner who can write to a file or directory, as text; empty for none.

    The group's bits cover the users and groups of an access control list too: acl(5), "mask".
    """
    if status.st_mode & stat.S_IWOTH:
        return "everybody"
    if not status.st_mode & stat.S_IWGRP or _is_private_group(status):
        return ""
    return f"the group {_group_name(status.st_gid)}"


def _is_private_group(status: os.stat_result) -> bool:
    """Tell whether a group is its owner's alone, as useradd(8) makes one for each user (USERGROUPS_ENAB).

    Where there are such groups the umask is 0002, and all directories of a user can be written by that user's group.
    """
    import grp
    import pwd

    try:
        user, group = pwd.getpwuid(status.st_uid).pw_name, grp.getgrgid(status.st_gid)
    except KeyError:
        return False
    return group.gr_name == user and set(group.gr_mem) <= {user}


def _group_name(gid: int) -> str:
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _is_safe(directory: str) -> bool:
    """Say whether the caller declares a directory safe."""
    return directory in filter(None, os.environ.get(SAFE, "").split(":"))
