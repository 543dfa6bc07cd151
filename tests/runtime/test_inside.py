"""Paths inside of an image: followed as the kernel would with the image as its root, and never out of it."""

import ctypes
import errno
import os
import socket
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elf_programs import elf
from tweed_shim.errors import ImageError
from tweed_shim.runtime import executables, inside, users

# <linux/openat2.h>; the number is the same on every architecture but alpha.
SYS_OPENAT2 = 437
RESOLVE_IN_ROOT = 0x10


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("the host's")
    root = tmp_path / "rootfs"
    for directory in ("bin", "etc", "usr/local/bin", "app"):
        (root / directory).mkdir(parents=True)
    (root / "etc/motd").write_text("the image's")
    (root / "bin/sh").write_bytes(elf())
    (root / "bin/sh").chmod(0o755)
    return root


def program(path: Path, text: str = "#!/bin/sh\n", mode: int = 0o755) -> None:
    path.write_bytes(text.encode())
    path.chmod(mode)


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
def test_a_path_leads_where_the_kernel_would_go(rootfs: Path, path: str, leads_to: str | None) -> None:
    found = inside.resolve(str(rootfs), path)
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
    assert inside.resolve(str(rootfs), "/app/link") == str(rootfs / "etc/motd")
    assert inside.read(str(rootfs), "/app/link", 100) == b"the image's"


def test_no_link_leads_to_the_host(rootfs: Path) -> None:
    secret = str(rootfs.parent / "secret")
    for number, target in enumerate((secret, "../../secret", "/../../secret", f"/app/../..{secret}")):
        (rootfs / f"app/{number}").symlink_to(target)
        assert inside.read(str(rootfs), f"/app/{number}", 100) is None
    (rootfs / "out").symlink_to("..")
    (rootfs / "deep").symlink_to("/out/../out")
    assert inside.read(str(rootfs), "/out/secret", 100) is None
    assert inside.read(str(rootfs), "/deep/out/secret", 100) is None


def test_a_linked_directory_is_followed_before_its_parent_is_taken(rootfs: Path) -> None:
    (rootfs / "app/local").symlink_to("/usr/local/bin")
    (rootfs / "usr/local/marker").write_text("x")
    assert inside.resolve(str(rootfs), "/app/local/../marker") == str(rootfs / "usr/local/marker")


def test_links_in_a_circle_lead_nowhere(rootfs: Path) -> None:
    (rootfs / "a").symlink_to("b")
    (rootfs / "b").symlink_to("/a")
    (rootfs / "self").symlink_to("self/x")
    assert inside.resolve(str(rootfs), "/a") is None
    assert inside.resolve(str(rootfs), "/self") is None


@pytest.mark.parametrize(("links", "leads_somewhere"), [(40, True), (41, False)])
def test_forty_links_are_followed_and_no_more(rootfs: Path, links: int, leads_somewhere: bool) -> None:
    for number in range(1, links):
        (rootfs / f"l{number}").symlink_to(f"l{number + 1}")
    (rootfs / f"l{links}").symlink_to("etc/motd")
    assert (inside.resolve(str(rootfs), "/l1") is not None) is leads_somewhere


@pytest.mark.parametrize("kind", ["fifo", "socket", "directory", "nothing", "dangling"])
def test_only_a_regular_file_is_read_and_nothing_is_waited_for(rootfs: Path, kind: str) -> None:
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
    assert inside.read(str(rootfs), "/etc/odd", 100) is None


def test_no_more_is_read_than_asked_for(rootfs: Path) -> None:
    with open(rootfs / "etc/huge", "wb") as file:
        file.truncate(10 << 30)
    assert inside.read(str(rootfs), "/etc/huge", 5) == b"\0" * 5


def kernel_resolves(rootfs: str, path: str) -> str | None:
    """What openat2(2) finds with RESOLVE_IN_ROOT: the kernel's own idea of a path that stays inside."""
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
    assert inside.resolve(maze, "/" + "/".join(path)) == kernel_resolves(maze, "/" + "/".join(path))


def find(rootfs: Path, argument: str, cwd: str = "/", path: str = "/usr/local/bin:/bin") -> str:
    return executables.find_executable(str(rootfs), argument, cwd, path)


def test_a_program_is_found_as_execvp_finds_it(rootfs: Path) -> None:
    program(rootfs / "app/run")
    program(rootfs / "bin/tool")
    program(rootfs / "usr/local/bin/tool", mode=0o644)
    assert find(rootfs, "/app/run") == "/app/run"
    assert find(rootfs, "./run", cwd="/app") == "/app/./run"
    assert find(rootfs, "app/run") == "/app/run"
    assert find(rootfs, "tool") == "/bin/tool"
    assert find(rootfs, "run", cwd="/app", path=":/bin") == "/app/run"
    (rootfs / "bin/linked").symlink_to("/bin/sh")
    assert find(rootfs, "linked") == "/bin/linked"


def test_what_is_not_there_is_named(rootfs: Path) -> None:
    with pytest.raises(ImageError, match="'/app/nope' is not in the image"):
        find(rootfs, "/app/nope")
    with pytest.raises(ImageError, match="'nope' is not in any directory of the image's PATH"):
        find(rootfs, "nope")
    (rootfs / "app/host").symlink_to(os.path.realpath("/bin/sh") + "-of-the-host")
    with pytest.raises(ImageError, match="is not in the image"):
        find(rootfs, "/app/host")


def test_what_cannot_be_executed_is_named(rootfs: Path) -> None:
    program(rootfs / "app/plain", mode=0o644)
    for path, said in (("/app/plain", "is no executable file: "), ("/app", "is a directory: ")):
        with pytest.raises(ImageError, match=said):
            find(rootfs, path)
    with pytest.raises(ImageError, match="is an empty text: "):
        find(rootfs, "")


@pytest.mark.parametrize(
    ("text", "interpreter"),
    [
        ("#!/bin/bash\n", "/bin/bash"),
        ("#! /usr/bin/env\tpython3\n", "/usr/bin/env"),
        ("#!/etc/motd\n", "/etc/motd"),
    ],
)
def test_an_interpreter_that_is_missing_is_named(rootfs: Path, text: str, interpreter: str) -> None:
    program(rootfs / "app/run", text)
    with pytest.raises(ImageError, match=f"the interpreter '{interpreter}' of the entrypoint '/app/run'"):
        find(rootfs, "/app/run")


@pytest.mark.parametrize(
    "text", ["#!/bin/sh\n", "#! /bin/sh -eu\n", "#!\t/bin/sh\tx", "#!bin/sh\n", "#!/bin/sh\0rest"]
)
def test_an_interpreter_that_is_there_is_accepted(rootfs: Path, text: str) -> None:
    program(rootfs / "app/run", text)
    assert find(rootfs, "/app/run") == "/app/run"


def test_an_entrypoint_that_is_a_fifo_is_refused_at_once(rootfs: Path) -> None:
    os.mkfifo(rootfs / "app/run", 0o777)
    with pytest.raises(ImageError, match="is no regular file"):
        find(rootfs, "/app/run")


@pytest.fixture
def nobody() -> Iterator[None]:
    """The caller is an unprivileged user for the length of the test."""
    if os.geteuid() != 0:
        pytest.skip("only root can make what the caller may not look at")
    os.seteuid(65534)
    yield
    os.seteuid(0)


@pytest.fixture
def closed() -> Iterator[Path]:
    # Not below pytest's own directory, which only its owner can search.
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        (root / "app").mkdir()
        (root / "etc").mkdir()
        program(root / "app/run", "#!/nowhere\n")
        program(root / "etc/passwd", "", mode=0o600)
        (root / "app").chmod(0o700)
        root.chmod(0o755)
        yield root


def test_what_the_caller_may_not_look_at_is_left_to_the_runtime(closed: Path, nobody: None) -> None:
    assert find(closed, "/app/run") == "/app/run"
    assert find(closed, "run", cwd="/app", path=".") == "run"
    with pytest.raises(ImageError, match="the image's /etc/passwd may not be read by you"):
        users.resolve(str(closed), "5")
