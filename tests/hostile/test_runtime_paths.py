"""Images whose links would lead the runtime to the host, as it walks their paths while the host's root is its own.

Each way to confine an image is attacked, with each runtime, since runtimes differ in what they follow (CVE-2026-41579,
CVE-2025-31133, CVE-2025-52881). The breadth of links is in tests/runtime/test_mount_points.py.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from accounts import AS_ONE_USER, open_to_all
from components import component, make_archive
from elf_programs import elf
from installed import Shim
from layouts import File, Files, Layer, LayoutWriter, busybox_files, directory, symlink
from script_images import METADATA
from toi_packages import package, with_executor

SETTING = "/proc/sys/kernel/printk_ratelimit_burst"
# A runtime takes what has a device's name for the device. It opens null as root, before /proc/sys is read-only, and has
# stdout lead there.
BACKEND = f"""
case $1 in
metadata) {METADATA} ;;
configure)
    cd $OUT_CONFIG
    for name in zero full random urandom tty; do ln -s /proc/keys $name; done
    ln -s {SETTING} null ;;
check) echo 7; cat /dev/zero | head -c 1 | wc -c; ls $IN_CONFIG; cat /etc/resolv.conf ;;
esac
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make the users")


class Victim(NamedTuple):
    """A directory of the host that everybody can write to, with files of the names that runtimes use."""

    path: str

    def look(self) -> Mapping[str, tuple[int, ...]]:
        """Return the inode, mode, owner, links, size and times of each path."""
        found = {}
        for place, directories, names in os.walk(self.path):
            for path in (place, *(os.path.join(place, name) for name in (*directories, *names))):
                about = os.lstat(path)
                times = (about.st_mtime_ns, about.st_ctime_ns)
                found[path] = (
                    *(about.st_dev, about.st_ino, about.st_mode, about.st_uid, about.st_nlink),
                    *(about.st_size, *times),
                )
        return found


@pytest.fixture
def victim(public_directory: str) -> Iterator[Victim]:
    path = os.path.join(public_directory, "victim")
    for name in ("", "inner"):
        os.mkdir(os.path.join(path, name))
        os.chmod(os.path.join(path, name), 0o777)
    # Not all: a runtime that comes here finds some names taken and others free.
    for name in ("ptmx", "null", "inner/ptmx"):
        Path(path, name).write_text("the host's", encoding="utf-8")
        os.chmod(os.path.join(path, name), 0o666)
    victim = Victim(path)
    before = victim.look()
    yield victim
    after = victim.look()
    shutil.rmtree(path)
    assert after == before


def up(path: str) -> str:
    return "../" * 32 + path.lstrip("/")


Trick = Callable[[str], Files]

# Of each image that is refused whatever it is asked: what its root has, for a directory of the host.
ALWAYS: dict[str, Trick] = {
    "dev to the host": lambda host: {"dev": symlink(host)},
    "dev up to the host": lambda host: {"dev": symlink(up(host))},
    "dev to the host's root through proc": lambda host: {"dev": symlink(f"/proc/1/root{host}")},
    "dev to the runtime's own root": lambda host: {"dev": symlink(f"/proc/self/root{host}")},
    "dev by a chain of links": lambda host: {
        "dev": symlink("usr/one"),
        "usr/one": symlink("../two"),
        "two": symlink(host),
    },
    "dev to a directory that the image has, too": lambda host: {"dev": symlink(host), host[1:]: directory()},
    "dev to a link to dev": lambda _: {"dev": symlink("two"), "two": symlink("/dev")},
    "dev is a file": lambda _: {"dev": "x"},
    "proc to the host": lambda host: {"proc": symlink(host)},
    "sys to the host": lambda host: {"sys": symlink(up(host))},
    "home to the host": lambda host: {"tweed/home": symlink(host)},
    "home to dev": lambda _: {"tweed/home": symlink("/dev/pts")},
    "tweed to the host's root through proc": lambda host: {"tweed": symlink(f"/proc/1/root{host}")},
    "tweed to a link to dev": lambda _: {"tweed": symlink("usr/two"), "usr/two": symlink("../dev/shm")},
}
# Likewise, where its root is read-only: then these are mount points, too.
READ_ONLY: dict[str, Trick] = {
    "run to the host": lambda host: {"run": symlink(host)},
    "tmp to dev": lambda _: {"tmp": symlink("dev/shm")},
    "var to the host's root through proc": lambda host: {"var": symlink(f"/proc/1/root{host}")},
}
# Likewise, with the host's network and the cloud's configuration.
WITH_NETWORK: dict[str, Trick] = {
    "etc to the host": lambda host: {"etc": symlink(host)},
    "etc to proc": lambda _: {"etc": symlink("/proc/self/fd")},
    "resolv.conf to sys": lambda _: {"etc/resolv.conf": symlink("../sys/kernel/uevent_helper")},
    "out to the host": lambda host: {"tweed/out": symlink(host)},
    "out to proc": lambda _: {"tweed/out": symlink("/proc/1/fd")},
}


# What the scripts of these tests call.
APPLETS = ("sh", "cat", "head", "ln", "ls", "wc")


def working(changes: Files) -> Files:
    """Return a root with a backend, without the paths that the changes replace."""
    base = {
        name: entry
        for name, entry in busybox_files().items()
        if not name.startswith("bin/") or name[4:] in ("busybox", *APPLETS)
    }
    kept = {
        name: entry
        for name, entry in base.items()
        if not any(f"{name}/".startswith(f"{changed}/") for changed in changes)
    }
    return {**kept, "entrypoint": f"#!/bin/sh\n{BACKEND}\n", **changes}


def small(changes: Files) -> Files:
    """Return a root without a program. A runtime fails for that only when it has walked all the paths."""
    return {"entrypoint": File(elf(), mode=0o755), **changes}


Images = Callable[..., str]


@pytest.fixture
def images(public_directory: str) -> Iterator[Images]:
    """Make an image whose layers have exactly these files, and return its reference."""
    made = os.path.join(public_directory, "images-with-links")
    os.mkdir(made)
    writers: dict[str, LayoutWriter] = {}

    def make(*layers: Files, name: str = "image", tag: str = "latest") -> str:
        path = os.path.join(made, name)
        writer = writers.setdefault(name, LayoutWriter(path))
        layered = [Layer(files, "none") for files in layers]
        writer.tag(tag, writer.image(layered, {"Entrypoint": ["/entrypoint"]}))
        return f"oci:{path}:{tag}"

    yield make
    shutil.rmtree(made)


def runs(shim: Shim) -> list[str]:
    path = os.path.join(shim.root, "runs")
    return sorted(set(os.listdir(path)) - {"lock"}) if os.path.isdir(path) else []


def refused(shim: Shim, *arguments: str, stdin: bytes | None = None) -> str:
    """Call the shim, which refuses the image before a run, and return its message."""
    before = runs(shim)
    done = shim.run(*arguments, stdin=stdin)
    said = done.err.decode()
    assert (done.code, done.out) == (125, b""), (arguments, done)
    assert "cannot be run: its '/" in said, (arguments, said)
    assert runs(shim) == before, arguments
    return said


def test_no_link_of_an_image_leads_the_runtime_to_the_host(
    confined_shim: Shim, victim: Victim, images: Images
) -> None:
    before = victim.look()
    for number, (name, trick) in enumerate((ALWAYS | READ_ONLY).items()):
        changes = trick(victim.path)
        image = images(small(changes), name=str(number))
        options = ("--read-only",) if name in READ_ONLY else ()
        said = refused(confined_shim, "exec", image, "metadata", *options)
        assert f"'/{next(iter(changes))}'" in said, (name, said)
        assert victim.look() == before, name


def test_no_link_leads_the_mounts_of_an_operation_to_the_host(
    confined_shim: Shim, victim: Victim, images: Images
) -> None:
    before = victim.look()
    for number, (name, trick) in enumerate(WITH_NETWORK.items()):
        changes = trick(victim.path)
        image = images(working(changes), name=str(number))
        # Without these mounts the image is like any other; /etc/hosts is mounted whatever the network is.
        expected = 125 if name.startswith("etc") else 0
        assert confined_shim.run("exec", image, "metadata").code == expected, name
        said = refused(confined_shim, "exec", image, "configure", stdin=b"{}")
        assert f"'/{next(iter(changes))}'" in said, (name, said)
        assert victim.look() == before, name
    assert refused(confined_shim, "spec", image, "configure") == said
    assert json.loads(confined_shim.run("clouds", "--json").out) == []


def test_links_that_an_image_has_written_do_not_lead_the_runtime_out(
    confined_shim: Shim, victim: Victim, images: Images
) -> None:
    good = images(working({}), tag="good")
    assert confined_shim.run("exec", good, "configure", stdin=b"{}").code == 0
    # The host's directory is, in the image, the configuration, where the first version put links named like devices.
    hostile = working(
        {"dev": symlink(victim.path), victim.path[1:]: symlink("/tweed/in"), "tweed/in": directory()}
    )
    bad = images(hostile, tag="bad")
    before = Path(SETTING).read_bytes()
    try:
        for image, path in (
            (bad, "dev"),
            (images(working({"tweed/in": symlink("/")}), tag="over-the-root"), "tweed/in"),
        ):
            said = refused(confined_shim, "exec", image, "check")
            assert f"'/{path}'" in said
        assert Path(SETTING).read_bytes() == before
    finally:
        Path(SETTING).write_bytes(before)


@AS_ONE_USER
def test_directories_that_the_caller_may_not_read_are_checked_as_the_containers_root(
    shim: Shim, images: Images
) -> None:
    closed = {"tweed": directory(0o700, uid=1, gid=1)}
    fine = images(working(closed), tag="fine")
    assert shim.run("exec", fine, "metadata").code == 0
    bad = images(working({**closed, "tweed/home": symlink("/dev/pts")}), tag="bad")
    done = shim.run("exec", bad, "metadata")
    assert (done.code, done.out) == (125, b"")
    assert b"the image cannot be run: its '/tweed/home' leads into /dev; make it a directory" in done.err


def test_links_inside_of_an_image_work(confined_shim: Shim, victim: Victim, images: Images) -> None:
    files = {
        **{
            name.replace("bin/", "usr/bin/", 1): entry for name, entry in working({}).items() if name != "bin"
        },
        "usr/bin": directory(),
        "bin": symlink("usr/bin"),
        "var/run": symlink("/run"),
        "opt/tweed": directory(),
        "tweed": symlink("/opt/tweed"),
        # Both the host and the image have a directory of this name: the image's is meant.
        "usr/share": directory(),
        "usr/share/passwd": "root:x:0:0:root:/root:/bin/sh\n",
        "run/resolver": directory(),
    }
    linked = {name: entry for name, entry in files.items() if name != "etc" and not name.startswith("etc/")}
    image = images(
        {**linked, "etc": symlink("/usr/share"), "dev": symlink(victim.path), "proc": symlink("/dev")},
        {"usr/share/resolv.conf": symlink("/run/resolver/own.conf")},
        # A later layer has directories again.
        {".wh.dev": "", "proc": directory()},
        {"dev": directory()},
    )
    with open("/etc/resolv.conf", "rb") as file:
        resolvers = file.read()
    for options in ((), ("--read-only",)):
        configured = confined_shim.run("exec", image, "configure", *options, stdin=b"{}")
        assert (configured.code, configured.out) == (0, b""), configured
        checked = confined_shim.run("exec", image, "check", *options)
        assert checked.code == 0, checked
        names = b"full null random tty urandom zero".split()
        assert checked.out == b"\n".join((b"7", b"1", *names, resolvers)), checked


def test_an_executor_whose_links_lead_out_is_refused(
    confined_shim: Shim, victim: Victim, images: Images
) -> None:
    before = victim.look()
    tricks: dict[str, Files] = {
        "dev": {"dev": symlink(victim.path)},
        "toi/inputs": {"toi/inputs": symlink(f"/proc/1/root{victim.path}")},
        "toi/outputs": {"toi/outputs": symlink("inputs")},
        "etc": {"etc": symlink(up(victim.path))},
    }
    for number, (name, changes) in enumerate(tricks.items()):
        layout = images(small(changes), name=str(number)).removeprefix("oci:").removesuffix(":latest")
        content = {"executors": [{"resourceRef": {"resource": {"name": "image"}}}]}
        version = with_executor(component("example.com/hostile", "1.0.0", [package(content)]), layout)
        archive = make_archive(f"{layout}-archive", version)
        open_to_all(archive)
        words = ("--ocmconfig", "None", "install", f"{archive}//example.com/hostile:1.0.0")
        said = refused(confined_shim, "toi", "bootstrap", *words)
        assert f"'/{name}'" in said
        assert victim.look() == before, name
