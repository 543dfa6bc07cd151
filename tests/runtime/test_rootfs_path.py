"""Paths inside of an image: followed as the kernel would with the image as its root, and never out of it."""

import ctypes
import errno
import os
import socket
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tweed_shim.runtime import rootfs_path

# <linux/openat2.h>; the number is the same on every architecture but alpha.
SYS_OPENAT2 = 437
RESOLVE_IN_ROOT = 0x10


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("/etc/motd", "etc/motd"),
        ("etc//./motd", "etc/motd"),
        ("/../../etc/motd", "etc/motd"),
        ("/bin/../etc/motd", "etc/motd"),
        ("/", "."),
        ("/..", "."),
        ("/etc/", "etc"),
        ("/etc/nothing", None),
        ("/etc/motd/", None),
        ("/etc/motd/..", None),
        ("/etc/motd/x", None),
        ("/etc/no\0", None),
        ("/etc/\ud800", None),
        ("/" + "x" * 300, None),
    ],
)
def test_a_path_leads_where_the_kernel_goes(rootfs: Path, path: str, leads_to: str | None) -> None:
    found = rootfs_path.resolve(str(rootfs), path)
    assert found == (None if leads_to is None else os.path.normpath(rootfs / leads_to))


@pytest.mark.parametrize(
    "target",
    [
        "/etc/motd",
        "../etc/motd",
        "../../../../etc/motd",
        "/../etc/motd",
        "/bin/../etc/motd",
        "/usr/../etc/./motd",
    ],
)
def test_a_link_stays_inside(rootfs: Path, target: str) -> None:
    (rootfs / "app/link").symlink_to(target)
    assert rootfs_path.resolve(str(rootfs), "/app/link") == str(rootfs / "etc/motd")
    assert rootfs_path.read(str(rootfs), "/app/link", 100) == b"the image's"


def test_no_link_leads_to_the_host(rootfs: Path) -> None:
    secret = str(rootfs.parent / "secret")
    for number, target in enumerate((secret, "../../secret", "/../../secret", f"/app/../..{secret}")):
        (rootfs / f"app/{number}").symlink_to(target)
        assert rootfs_path.read(str(rootfs), f"/app/{number}", 100) is None
    (rootfs / "out").symlink_to("..")
    (rootfs / "deep").symlink_to("/out/../out")
    assert rootfs_path.read(str(rootfs), "/out/secret", 100) is None
    assert rootfs_path.read(str(rootfs), "/deep/out/secret", 100) is None


def test_a_linked_directory_is_followed_before_its_parent_is_taken(rootfs: Path) -> None:
    (rootfs / "app/local").symlink_to("/usr/local/bin")
    (rootfs / "usr/local/marker").write_text("x")
    assert rootfs_path.resolve(str(rootfs), "/app/local/../marker") == str(rootfs / "usr/local/marker")


def test_links_in_a_circle_lead_nowhere(rootfs: Path) -> None:
    (rootfs / "a").symlink_to("b")
    (rootfs / "b").symlink_to("/a")
    (rootfs / "self").symlink_to("self/x")
    assert rootfs_path.resolve(str(rootfs), "/a") is None
    assert rootfs_path.resolve(str(rootfs), "/self") is None


@pytest.mark.parametrize(("links", "leads_somewhere"), [(40, True), (41, False)])
def test_forty_links_are_followed_and_no_more(rootfs: Path, links: int, leads_somewhere: bool) -> None:
    for number in range(1, links):
        (rootfs / f"l{number}").symlink_to(f"l{number + 1}")
    (rootfs / f"l{links}").symlink_to("etc/motd")
    assert (rootfs_path.resolve(str(rootfs), "/l1") is not None) is leads_somewhere


@pytest.mark.parametrize("kind", ["fifo", "socket", "directory", "nothing", "dangling"])
def test_only_a_regular_file_is_read_and_a_pipe_does_not_block(rootfs: Path, kind: str) -> None:
    path = rootfs / "etc/odd"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        here = os.open(rootfs / "etc", os.O_RDONLY)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"/proc/self/fd/{here}/odd")
        os.close(here)
    elif kind == "directory":
        path.mkdir()
    elif kind == "dangling":
        path.symlink_to("nowhere")
    assert rootfs_path.read(str(rootfs), "/etc/odd", 100) is None


def test_no_more_is_read_than_asked_for(rootfs: Path) -> None:
    with open(rootfs / "etc/huge", "wb") as file:
        file.truncate(10 << 30)
    assert rootfs_path.read(str(rootfs), "/etc/huge", 5) == b"\0" * 5


def kernel_resolves(rootfs: str, path: str) -> str | None:
    """Return what openat2(2) resolves with RESOLVE_IN_ROOT: the kernel's own way to stay inside."""
    libc = ctypes.CDLL(None, use_errno=True)
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY)
    try:
        how = struct.pack("QQQ", os.O_PATH | os.O_CLOEXEC, 0, RESOLVE_IN_ROOT)
        fd = libc.syscall(SYS_OPENAT2, root, path.encode(), how, len(how))
        if fd < 0:
            code = ctypes.get_errno()
            if code in (errno.ENOSYS, errno.EPERM):
                pytest.skip("this kernel or its sandbox has no openat2")
            return None
        try:
            return os.readlink(f"/proc/self/fd/{fd}")
        finally:
            os.close(fd)
    finally:
        os.close(root)


@pytest.fixture(scope="module")
def maze(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("maze") / "rootfs"
    (root / "a/b").mkdir(parents=True)
    (root / "a/f").write_text("")
    links = {
        "up": "..",
        "here": ".",
        "top": "/",
        "far": "../../../..",
        "ab": "/a/b",
        "loop": "loop",
        "file": "a/../f",
        "gone": "x",
    }
    for name, target in links.items():
        for directory in (root, root / "a"):
            (directory / name).symlink_to(target)
    return str(root)


@settings(max_examples=400)
@given(
    path=st.lists(
        st.sampled_from(
            [
                "a",
                "b",
                "f",
                "up",
                "here",
                "top",
                "far",
                "ab",
                "loop",
                "file",
                "gone",
                "..",
                "..",
                ".",
                "",
                "a",
                "a",
            ]
        ),
        max_size=12,
    )
)
def test_every_path_leads_where_the_kernel_goes(maze: str, path: list[str]) -> None:
    assert rootfs_path.resolve(maze, "/" + "/".join(path)) == kernel_resolves(maze, "/" + "/".join(path))
