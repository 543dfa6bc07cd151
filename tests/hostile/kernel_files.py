"""Runs inside of a container: tries to write to all files of the kernel, and to the control groups of the host.

The first argument is the operation of the contract. `configure` reads a JSON object: the name of a control `group` of
the host's, and `from`, what the mount points that are tried begin with. It prints another: `mounts`, those below /sys
and /proc; `written`, the files below them that could be written; `made`, the directories in which something could be
made; `groups`, the files by which something was done to the control group; `heat`, the counters of how hot processors
were; and `limits`, the limits of the run that are found where the JVM, .NET and Go look for them.
"""

import errno
import glob
import json
import os
import stat
import sys
from collections.abc import Iterator

NULL = os.makedev(1, 3)
FREEZING = {"freezer.state": "FROZEN", "cgroup.freeze": "1", "cgroup.kill": "1"}
MOVING = ("cgroup.procs", "tasks", "cgroup.threads")
LIMITS = ("memory.max", "memory/memory.limit_in_bytes")


def mounts(top: str) -> list[str]:
    """Return the mount points of /sys and /proc and of all below them, those that begin with `top`."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        points = {line.split()[4] for line in file}
    return sorted(
        point for point in points if f"{point}/".startswith(("/sys/", "/proc/")) and point.startswith(top)
    )


def directories(tops: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield all directories below these with the names of their files, without those of processes in /proc."""
    for top in tops:
        for place, below, names in os.walk(top):
            if place == "/proc":
                below[:] = [name for name in below if not name.isdigit()]
            yield place, names


def is_writable(path: str) -> bool:
    """Tell whether a file can be opened for writing and takes what is written. Nothing is written to it."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        # A masked file is /dev/null.
        return not (os.fstat(fd).st_rdev == NULL and stat.S_ISCHR(os.fstat(fd).st_mode)) and takes_writes(fd)
    finally:
        os.close(fd)


def takes_writes(fd: int) -> bool:
    """Tell whether the kernel takes a write. Root may open files of /proc that answer EIO to it."""
    try:
        os.write(fd, b"")
    except OSError as error:
        return error.errno != errno.EIO
    return True


def can_make(place: str) -> bool:
    """Tell whether a file or a directory can be made in a directory; it is removed again."""
    path = os.path.join(place, "made")
    for make, remove in ((os.mkdir, os.rmdir), (os.mknod, os.unlink)):
        try:
            make(path)
        except OSError:
            continue
        remove(path)
        return True
    return False


def written_files(group: str) -> list[str]:
    """Return the files of the control groups of this name, in any hierarchy, that could be written."""
    done = []
    for place, _, _ in os.walk("/sys/fs/cgroup"):
        if os.path.basename(place) == group:
            orders = {**FREEZING, **dict.fromkeys(MOVING, str(os.getpid()))}
            done += [f"{place}/{name}" for name, text in orders.items() if wrote(f"{place}/{name}", text)]
    return done


def wrote(path: str, text: str) -> bool:
    """Tell whether a text could be written to an existing file."""
    try:
        fd = os.open(path, os.O_WRONLY)
    except OSError:
        return False
    try:
        return os.write(fd, text.encode()) > 0
    except OSError:
        return False
    finally:
        os.close(fd)


def limits() -> dict[str, str]:
    """Return the limits of the run, by the files that have them."""
    found = {}
    for name in LIMITS:
        path = os.path.join("/sys/fs/cgroup", name)
        if os.path.exists(path):
            with open(path, encoding="ascii") as file:
                found[name] = file.read().strip()
    return found


def main() -> None:
    """Perform an operation."""
    if sys.argv[1] == "metadata":
        sys.stdout.write("backend: tweed/v1\nname: kernel-files\nversion: '1'\n")
        return
    told = json.load(sys.stdin)
    tops = mounts(told["from"])
    files = list(directories(tops))
    report = {
        "mounts": tops,
        "written": [
            path for place, names in files for name in names if is_writable(path := os.path.join(place, name))
        ],
        "made": [place for place, _ in files if can_make(place)],
        "groups": written_files(told["group"]),
        "heat": glob.glob("/sys/devices/system/cpu/cpu*/thermal_throttle/*"),
        "limits": limits(),
    }
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
