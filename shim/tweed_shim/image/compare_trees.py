"""A script that compares two directory trees: `python -I -S compare_trees.py EXPECTED ACTUAL`.

It runs as root of the user namespace that the image was unpacked in (`userns.run_mapped`), because the caller may not
read files of subordinate ids. It uses the standard library only. Each line of its output is a JSON array of a path
below the trees and the difference there. Only the first `MOST` differences are listed; the last line is the number of
all.

The trees hold files of an untrusted image: no link is followed, and only directories and regular files are opened.
"""

import json
import os
import stat
import sys
from collections.abc import Iterator

MOST = 20
READ = 1 << 20
# Attributes that the security modules of the host set on files: SELinux, IMA and EVM.
HOSTS_OWN = ("security.selinux", "security.ima", "security.evm")
KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a link",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}
Difference = tuple[str, str]


class Trees:
    """The two trees as open directories. Paths are relative to them, so that no path exceeds PATH_MAX."""

    def __init__(self, expected: str, actual: str) -> None:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
        self.expected, self.actual = os.open(expected, flags), os.open(actual, flags)

    def differences(self) -> Iterator[Difference]:
        """Yield the paths that differ, and how."""
        waiting = ["."]
        while waiting:
            path = waiting.pop()
            try:
                problem, is_directory = self._compare(path)
                if problem:
                    yield path, problem
                if is_directory:
                    names, other = (set(_list(root, path)) for root in (self.expected, self.actual))
                    yield from ((os.path.join(path, name), "is missing") for name in sorted(names - other))
                    yield from (
                        (os.path.join(path, name), "is not of the image") for name in sorted(other - names)
                    )
                    waiting += [os.path.join(path, name) for name in sorted(names & other, reverse=True)]
            except OSError as error:
                yield path, f"cannot be read ({error.strerror})"

    def _compare(self, path: str) -> tuple[str, bool]:
        """Return the difference at one path (empty for none), and whether it is a directory in both trees."""
        wanted = os.stat(path, dir_fd=self.expected, follow_symlinks=False)
        other = os.stat(path, dir_fd=self.actual, follow_symlinks=False)
        kind = stat.S_IFMT(wanted.st_mode)
        if kind != stat.S_IFMT(other.st_mode):
            return f"is {KINDS[stat.S_IFMT(other.st_mode)]} instead of {KINDS[kind]}", False
        return _about(wanted, other) or self._inside(path, kind), kind == stat.S_IFDIR

    def _inside(self, path: str, kind: int) -> str:
        if kind == stat.S_IFLNK:
            same = os.readlink(path, dir_fd=self.expected) == os.readlink(path, dir_fd=self.actual)
            return "" if same else "leads elsewhere"
        if kind not in (stat.S_IFREG, stat.S_IFDIR):
            return ""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        fds: list[int] = []
        try:
            fds.append(os.open(path, flags, dir_fd=self.expected))
            fds.append(os.open(path, flags, dir_fd=self.actual))
            if kind == stat.S_IFREG and not _same_content(*fds):
                return "its content differs"
            return "" if _attributes(fds[0]) == _attributes(fds[1]) else "its extended attributes differ"
        finally:
            for fd in fds:
                os.close(fd)


def _about(wanted: os.stat_result, other: os.stat_result) -> str:
    if stat.S_IMODE(wanted.st_mode) != stat.S_IMODE(other.st_mode):
        return f"has the mode {stat.S_IMODE(other.st_mode):04o} instead of {stat.S_IMODE(wanted.st_mode):04o}"
    if (wanted.st_uid, wanted.st_gid) != (other.st_uid, other.st_gid):
        return f"belongs to {other.st_uid}:{other.st_gid} instead of {wanted.st_uid}:{wanted.st_gid}"
    if wanted.st_rdev != other.st_rdev:
        return "is another device"
    if stat.S_ISREG(wanted.st_mode) and wanted.st_size != other.st_size:
        return f"has {other.st_size} bytes instead of {wanted.st_size}"
    return ""


def _same_content(expected: int, actual: int) -> bool:
    while True:
        wanted, other = os.read(expected, READ), os.read(actual, READ)
        if wanted != other:
            return False
        if not wanted:
            return True


def _attributes(fd: int) -> dict[str, bytes]:
    return {name: os.getxattr(fd, name) for name in os.listxattr(fd) if name not in HOSTS_OWN}


def _list(root: int, path: str) -> list[str]:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=root)
    try:
        return os.listdir(fd)
    finally:
        os.close(fd)


def main() -> None:
    """Run the script."""
    count = 0
    if not os.path.isdir(sys.argv[2]) or os.path.islink(sys.argv[2]):
        sys.stdout.write('[".", "is no directory"]\n1\n')
        return
    for count, (path, problem) in enumerate(Trees(sys.argv[1], sys.argv[2]).differences(), 1):
        if count <= MOST:
            sys.stdout.write(json.dumps([os.path.normpath(path), problem]) + "\n")
    sys.stdout.write(f"{count}\n")


if __name__ == "__main__":
    main()
