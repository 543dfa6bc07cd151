"""Whose files the shim trusts: those of the caller and of root that no other user can change.

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

from tweed_shim.errors import ConfigError
from tweed_shim.option_names import option
from tweed_shim.privileges import in_initial_namespace
from tweed_shim.records import Record

# Directories, separated by ":", whose owner and mode are not looked at: git's safe.directory.
SAFE = "TWEED_SHIM_SAFE_DIRECTORY"
# What the kernel shows for an id that a user namespace does not map: /proc/sys/kernel/overflowuid.
UNMAPPED = 65534
# As many as the kernel follows: path_resolution(7).
MOST_LINKS = 40


class Entry(Record):
    """A directory, link or file that a path leads through. shared: others can make entries beside it."""

    path: str
    about: os.stat_result
    shared: bool

    def __str__(self) -> str:
        """What it is, for messages."""
        kinds = {stat.S_IFLNK: "link", stat.S_IFDIR: "directory"}
        return f"the {kinds.get(stat.S_IFMT(self.about.st_mode), 'file')} {self.path}"


def owners() -> tuple[int, ...]:
    """Return the users whose files are trusted: the caller, root, and as root the one who called sudo, as git does."""
    caller = os.geteuid()
    sudo = os.environ.get("SUDO_UID", "")
    if caller == 0 and sudo.isascii() and sudo.isdigit() and len(sudo) < 11:
        return 0, int(sudo)
    return caller, 0


def is_trusted(entry: Entry) -> bool:
    """Say whether somebody trusted made what is there, or the caller declares it safe."""
    uid = entry.about.st_uid
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
    """Raise ConfigError where another user owns a store, can write to it, or can put another in its place.

    Of a store that is not there yet, the directories above are checked.
    """
    with suppress(FileNotFoundError):
        about = os.stat(root)
        # Not that of who called sudo: what root makes in it would be in that user's way.
        if about.st_uid not in (os.geteuid(), 0):
            raise ConfigError(
                f"the store {root} belongs to {user_name(about.st_uid)}, not to you or root; run the command as that "
                f"user, or give another {option('--root')}"
            )
        if writers := _writers(about):
            raise ConfigError(
                f"the store {root} can be written by {writers}; look at what is in it and run chmod 700 {root}, or "
                f"give another {option('--root')}"
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
    about = os.fstat(fd)
    if _is_safe(os.path.dirname(os.path.abspath(path))):
        return
    if about.st_uid not in owners():
        raise ConfigError(
            f"{what} belongs to {user_name(about.st_uid)}, not to you or root, and is not used; use a copy that "
            "belongs to you, or run the command as that user"
        )
    if writers := _writers(about):
        raise ConfigError(
            f"{what} can be written by {writers}, and is not used; look at what is in it and run chmod go-w {path}"
        )


def _fault_on_the_way(path: str) -> str:
    """Return which directory or link on the way to the end of a path another user can change.

    It is the part of a sentence that an alternative follows; an empty text where there is none.
    """
    for entry in _entries(path):
        if not is_trusted(entry):
            return f"{entry} belongs to {user_name(entry.about.st_uid)}, not to you or root; "
        if not stat.S_ISDIR(entry.about.st_mode) or entry.about.st_mode & stat.S_ISVTX:
            # In a sticky directory nobody renames or removes what belongs to another: rename(2), EPERM.
            continue
        if (writers := _writers(entry.about)) and not _is_safe(entry.path):
            return f"{entry} can be written by {writers}; run chmod go-w {entry.path}, or "
    return ""


def _entries(path: str) -> Iterator[Entry]:
    """Yield each directory and link from / to the end of an absolute path, as far as there is something."""
    here, about, links = "/", os.lstat("/"), 0
    yield Entry(here, about, False)
    rest = path.split("/")[::-1]
    while rest:
        name = rest.pop()
        if name in ("", "."):
            continue
        if name == "..":
            here = os.path.dirname(here)
            about = os.lstat(here)
            continue
        found = f"{here.rstrip('/')}/{name}"
        try:
            next_about = os.lstat(found)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return  # whoever opens it says so
        yield Entry(found, next_about, is_shared(about))
        if not stat.S_ISLNK(next_about.st_mode):
            here, about = found, next_about
            continue
        links += 1
        if links > MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = os.readlink(found)
        rest += target.split("/")[::-1]
        if target.startswith("/"):
            here, about = "/", os.lstat("/")


def _writers(about: os.stat_result) -> str:
    """Return who else than its owner can write to a file or directory; nobody is an empty text.

    The group's bits cover the users and groups of an access control list too: acl(5), "mask".
    """
    if about.st_mode & stat.S_IWOTH:
        return "everybody"
    if not about.st_mode & stat.S_IWGRP or _is_private_group(about):
        return ""
    return f"the group {_group_name(about.st_gid)}"


def _is_private_group(about: os.stat_result) -> bool:
    """Say whether a group is its owner's alone, as useradd(8) makes one for each user (USERGROUPS_ENAB).

    Where there are such groups the umask is 0002, and all directories of a user can be written by that user's group.
    """
    import grp
    import pwd

    try:
        user, group = pwd.getpwuid(about.st_uid).pw_name, grp.getgrgid(about.st_gid)
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
