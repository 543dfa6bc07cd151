"""What a host allows, found by doing it: namespaces, mounts, and a whole run, in a directory that is gone afterwards.

The answers of version numbers and switches are guesses: kernels are patched, containers are nested, and policies
come from four places. So the thing itself is done, in namespaces of its own, by the programs that every Linux
has (unshare(1), mount(8)) or by the very code that runs images.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from tweed_shim.base import files
from tweed_shim.errors import ShimError
from tweed_shim.host import owned_trees, programs, userns, workdirs
from tweed_shim.host.userns import IdMap
from tweed_shim.runtime import container, security_options
from tweed_shim.runtime.console import Console
from tweed_shim.runtime.container import RunContext
from tweed_shim.runtime.host import Host
from tweed_shim.runtime.options import ContainerOptions
from tweed_shim.runtime.request import Mount, Process, Request

SECONDS = 30.0
# Where a program of the host and its libraries are; usually some of them are links into another.
PROGRAM_PLACES = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "nix", "gnu")
MOUNT_POINTS = ("proc", "sys", "dev", "tmp", "run", "etc", "var", "tweed")
LOWER = ("lower", "lower/directory", "lower/directory/inner")
OVERLAY = "mount -t overlay -o lowerdir=lower,upperdir={0}upper,workdir={0}work{1} overlay merged && {2}"
# To put a directory in the place of one of the image takes an extended attribute of the layer, which a tmpfs of Linux
# before 6.6 does not have in a user namespace, where the mount succeeds all the same.
CHANGE = ": > merged/file && rm -rf merged/directory && mkdir merged/directory"


def nearest(path: str) -> str:
    """Return the path itself where it is there, else the closest directory above that is."""
    while path and not os.path.lexists(path):
        path = os.path.dirname(path)
    return path or "/"


@contextmanager
def directory(root: str, ids: IdMap) -> Iterator[str]:
    """Yield a new directory on the file system that a store is on, or would be, for the length of a block.

    Makes no store. Raises OSError where nothing can be written there.
    """
    if os.path.isdir(workdirs.tmp_directory(root)):
        # What a crash leaves here is swept like any other work.
        with workdirs.directory(workdirs.tmp_directory(root), ids) as path:
            yield path
        return
    path = tempfile.mkdtemp(prefix="tweed-shim-doctor-", dir=nearest(root))
    try:
        yield path
    finally:
        owned_trees.remove_tree(ids, path)


def mapped(ids: IdMap) -> str:
    """Tell whether a process can have these ids: the fault, or nothing."""
    return _tried(ids, ["true"], "/")


def namespaces(ids: IdMap) -> str:
    """Tell whether mount and process namespaces can be made: the fault, or nothing."""
    return _in_namespaces(ids, "true", "/")


def fresh_proc(ids: IdMap, place: str) -> str:
    """Tell whether a process namespace can have a /proc of its own: the fault, or nothing."""
    return _in_namespaces(ids, "mount -t proc proc .", _made(place, "proc"))


def overlay_on_tmpfs(ids: IdMap, place: str) -> str:
    """Tell whether a writable layer in memory can lie over what is on disk at a place: the fault, or nothing."""
    made = "mount -t tmpfs tmpfs memory && mkdir memory/upper memory/work && "
    here = _made(place, "tmpfs", *LOWER, "merged", "memory")
    return _in_namespaces(ids, made + OVERLAY.format("memory/", _overlay_option(ids), CHANGE), here)


def overlay_on_disk(ids: IdMap, place: str) -> str:
    """Tell whether a writable layer on the disk of a place can lie over what is there: the fault, or nothing."""
    here = _made(place, "disk", *LOWER, "merged", "upper", "work")
    return _in_namespaces(ids, OVERLAY.format("", _overlay_option(ids), CHANGE), here)


def _overlay_option(ids: IdMap) -> str:
    return ",userxattr" if ids.kind != "host" else ""


def _made(place: str, name: str, *inner: str) -> str:
    path = os.path.join(place, name)
    for each in (path, *(os.path.join(path, name) for name in inner)):
        files.make_private(each)
    return path


def _in_namespaces(ids: IdMap, script: str, place: str) -> str:
    # Nothing may be seen outside, whatever the host shares.
    path = ":".join(("$PATH", *programs.SYSTEM_PLACES))
    script = f"PATH={path}; mount --make-rprivate / && {script}"
    return _tried(
        ids, ["unshare", "-m", "-p", "-f", programs.find_program("sh") or "sh", "-c", script], place
    )


def _tried(ids: IdMap, command: list[str], place: str) -> str:
    program = programs.find_program(command[0])
    if program is None:
        return f"the program {command[0]} is not installed"
    try:
        code, output = userns.run_mapped(ids, [program, *command[1:]], cwd=place)
    except OSError as error:
        return f"{error.filename or command[0]}: {error.strerror}"
    lines = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
    return "" if code == 0 else (lines[0] if lines else f"{command[0]} ended with code {code}")


def run(place: str, runtime: str, host: Host, *, userns: bool = False) -> tuple[str, list[str]]:
    """Run a program of the host as an image's would be; returns the fault, or nothing, and the warnings.

    userns: whether the container has a user namespace of its own when root runs it.
    """
    program = programs.find_program("true")
    if program is None:
        return "the program true is not installed", []
    warnings: list[str] = []
    name = files.unique_name("doctor-")
    rootfs = os.path.join(place, name)
    options = ContainerOptions(network="none", timeout=SECONDS, userns=userns)
    request = Request(
        rootfs,
        Process((os.path.realpath(program),), ("PATH=/usr/bin:/bin",), 0, 0, (), "/"),
        options,
        security_options.resolve(options, host),
        home="/tweed/home",
        mounts=_borrowed(rootfs),
    )
    log = os.path.join(place, "log")
    context = RunContext(name, place, runtime, host, log, console=Console(warn=warnings.append))
    try:
        outcome = container.run(request, context)
    except ShimError as error:
        return str(error), warnings
    except OSError as error:
        return f"{error.filename or place}: {error.strerror}", warnings
    if outcome.code != 0:
        return f"the program '{program}' ended with code {outcome.code} in a container", warnings
    return "", warnings


def _borrowed(rootfs: str) -> tuple[Mount, ...]:
    """Make a root file system of the host's own programs; returns what is to be mounted in it."""
    os.mkdir(rootfs, 0o755)
    for name in MOUNT_POINTS:
        os.mkdir(os.path.join(rootfs, name), 0o755)
    mounts = []
    for name in PROGRAM_PLACES:
        source, target = f"/{name}", os.path.join(rootfs, name)
        if os.path.islink(source):
            os.symlink(os.readlink(source), target)
        elif os.path.isdir(source):
            os.mkdir(target, 0o755)
            mounts.append(Mount(source, source))
    return tuple(mounts)
