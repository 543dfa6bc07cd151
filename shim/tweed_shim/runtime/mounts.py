"""The container's root: an overlay over the unpacked image or, where the host has no overlay, the image read-only.

Process 1 of a sandbox (sandbox.py) makes it in its own mount namespace. The functions raise OSError where they fail.
"""

import errno
import os
import stat
from collections.abc import Iterable, Iterator

from tweed_shim.host import kernel
from tweed_shim.runtime import rootfs_path

OVERLAY_SPECIAL = str.maketrans({"\\": "\\\\", ",": "\\,", ":": "\\:"})
# Flags that a bind mount may not drop in a user namespace: mount_namespaces(7), "locked".
LOCKED_FLAGS = {
    os.ST_RDONLY: kernel.MS_RDONLY,
    os.ST_NOSUID: kernel.MS_NOSUID,
    os.ST_NODEV: kernel.MS_NODEV,
    os.ST_NOEXEC: kernel.MS_NOEXEC,
}


def mount_overlay(root: str, lower: str, directory: str, *, userns: bool) -> None:
    """Mount an overlay over `lower` on `root`; what is written goes to a new `upper` in `directory`.

    userns: whether this is a user namespace, whose overlays have their marks in user attributes (`userxattr`).
    """
    upper, work = os.path.join(directory, "upper"), os.path.join(directory, "work")
    like = os.stat(lower)
    # The upper directory's owner and mode are those of "/" in the container.
    os.mkdir(upper, stat.S_IMODE(like.st_mode))
    os.chown(upper, like.st_uid, like.st_gid)
    os.mkdir(work, 0o700)
    _check_attributes(work, "user" if userns else "trusted")
    parts = {"lowerdir": lower, "upperdir": upper, "workdir": work}
    options = [f"{name}={path.translate(OVERLAY_SPECIAL)}" for name, path in parts.items()]
    if userns:
        options.append("userxattr")
    # A device or a set-user-ID program of the image is a file like any other.
    kernel.mount("overlay", root, "overlay", kernel.MS_NOSUID | kernel.MS_NODEV, ",".join(options))


def _check_attributes(directory: str, prefix: str) -> None:
    """Check that an overlay can set its marks, extended attributes, on a file system. Raises OSError.

    Linux 5.11 to 6.5 mounts an overlay with `userxattr` on a tmpfs, which has no user attributes there, and the
    removal of a directory of the image ends in EIO later: the kernel's Documentation/filesystems/overlayfs.rst.
    """
    name = f"{prefix}.overlay.tweed"
    os.setxattr(directory, name, b"y")
    os.removexattr(directory, name)


def tmpfs_has_user_attributes() -> bool:
    """Tell whether files of a tmpfs can have user attributes, which takes Linux 6.6; True where it is not known.

    A file of memfd_create(2) is on the kernel's own tmpfs, so that no mount is needed to try: 50 microseconds.
    """
    try:
        fd = os.memfd_create("tweed-shim")
    except OSError:
        return True
    try:
        os.setxattr(fd, "user.overlay.tweed", b"y")
    except OSError as error:
        return error.errno != errno.EOPNOTSUPP
    finally:
        os.close(fd)
    return True


def bind_read_only(source: str, target: str) -> None:
    """Bind a file or a directory, with all that is mounted below it, at `target`, and make all of it read-only.

    Raises OSError where a part of it would stay writable.
    """
    # Mounts that a user namespace inherits cannot be left out of a bind: mount_namespaces(7), "locked".
    kernel.mount(source, target, "", kernel.MS_BIND | kernel.MS_REC)
    attributes = kernel.MOUNT_ATTR_RDONLY | kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV
    try:
        kernel.set_mount_attributes(target, attributes)
    except OSError:
        remount_read_only(target)


def unshifted(directory: str) -> str:
    """Return a path to a directory that shows the host's ids, also when an id-mapped mount is put over it later."""
    return f"/proc/self/fd/{os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)}"


def show_sys(target: str) -> None:
    """Make the directory `target` and show the host's /sys there, read-only and without the host's control groups.

    Raises OSError where a part of it would stay writable.
    """
    os.mkdir(target, 0o700)
    bind_read_only("/sys", target)
    groups = os.path.join(target, "fs", "cgroup")
    if os.path.isdir(groups):
        # A user owns some of the host's groups, and could end, freeze and move its own processes there. The runtime
        # mounts those of the run on this one: the kernel answers EBUSY to the same file system on its own root.
        flags = kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
        kernel.mount("tmpfs", groups, "tmpfs", flags, "mode=0755,size=4k,nr_inodes=1")


def remount_read_only(target: str) -> None:
    """Make a mount and every mount below it read-only, one by one, as Linux before 5.12 can.

    Raises OSError where one of them cannot be.
    """
    flags = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV
    for path in _mounts_from(target):
        try:
            present = os.statvfs(path).f_flag
        except OSError as error:
            # The container has the same ids or fewer, so it cannot reach what this process cannot reach.
            if error.errno == errno.EACCES:
                continue
            raise
        locked = sum(flag for bit, flag in LOCKED_FLAGS.items() if present & bit)
        kernel.mount("", path, "", flags | locked)


def _mounts_from(target: str) -> Iterator[str]:
    """Yield the mount points at and below `target`."""
    with open("/proc/self/mountinfo", "rb") as file:
        points = list(mount_points_by_id(file).values())
    for path in points:
        if path == target or path.startswith(f"{target}/"):
            yield path


def mount_points_by_id(lines: Iterable[bytes]) -> dict[int, str]:
    """Return the mount points in lines of /proc/PID/mountinfo (proc(5): first and fifth field), in their order."""
    fields = (line.split() for line in lines)
    # A blank, a tab, a line feed and a backslash are written as three octal digits.
    return {int(each[0]): os.fsdecode(each[4].decode("unicode_escape").encode("latin-1")) for each in fields}


def _bind_entries(root: str, lower: str, directory: str, *, opened: set[str]) -> None:
    """Make the entries that the image has in `directory` in a directory of our own, bound read-only.

    Directories of `opened` are not bound: they are made as directories of our own, too. directory, opened: paths of the
    image, `directory` with a slash at its end.
    """
    for entry in os.scandir(lower + directory):
        path = directory + entry.name
        target = root + path
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), target)
        elif entry.is_dir():
            os.mkdir(target, 0o755)
            if path in opened:
                _bind_entries(root, lower, f"{path}/", opened=opened)
            else:
                bind_read_only(entry.path, target)
        elif entry.is_file():
            os.close(os.open(target, os.O_CREAT | os.O_CLOEXEC, 0o644))
            bind_read_only(entry.path, target)


def _parents(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def assemble_read_only(root: str, lower: str, targets: list[str]) -> None:
    """Make `root` a tmpfs with the entries of `lower`, read-only, in which the runtime can make `targets`.

    The runtime makes a mount point that is missing, and fails where the root is read-only. targets: paths of the image
    without links.
    """
    kernel.mount("tmpfs", root, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=0755")
    missing = [path for path in targets if rootfs_path.resolve(lower, path) is None]
    _bind_entries(root, lower, "/", opened={parent for path in missing for parent in _parents(path)})
