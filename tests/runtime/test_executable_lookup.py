"""The program that an entrypoint names: found in the image as execvp(3) finds it, or refused with the reason."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tweed_shim.errors import ImageError
from tweed_shim.runtime import executables, users


def program(path: Path, text: str = "#!/bin/sh\n", mode: int = 0o755) -> None:
    path.write_bytes(text.encode())
    path.chmod(mode)


def find(rootfs: Path, argument: str, cwd: str = "/", path: str = "/usr/local/bin:/bin") -> str:
    return executables.find_executable(str(rootfs), argument, cwd=cwd, path_variable=path)


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


def test_a_missing_entrypoint_is_named(rootfs: Path) -> None:
    with pytest.raises(ImageError, match="'/app/nope' is not in the image"):
        find(rootfs, "/app/nope")
    with pytest.raises(ImageError, match="'nope' is not in any directory of the image's PATH"):
        find(rootfs, "nope")
    (rootfs / "app/host").symlink_to(os.path.realpath("/bin/sh") + "-of-the-host")
    with pytest.raises(ImageError, match="is not in the image"):
        find(rootfs, "/app/host")


def test_an_entrypoint_that_is_not_executable_is_named(rootfs: Path) -> None:
    program(rootfs / "app/plain", mode=0o644)
    for path, said in (("/app/plain", "is no executable file; "), ("/app", "is a directory; ")):
        with pytest.raises(ImageError, match=said):
            find(rootfs, path)
    with pytest.raises(ImageError, match="is an empty text; "):
        find(rootfs, "")


@pytest.mark.parametrize(
    ("text", "interpreter"),
    [
        ("#!/bin/bash\n", "/bin/bash"),
        ("#! /usr/bin/env\tpython3\n", "/usr/bin/env"),
        ("#!/etc/motd\n", "/etc/motd"),
    ],
)
def test_a_missing_interpreter_is_named(rootfs: Path, text: str, interpreter: str) -> None:
    program(rootfs / "app/run", text)
    with pytest.raises(ImageError, match=f"the interpreter '{interpreter}' of the entrypoint '/app/run'"):
        find(rootfs, "/app/run")


@pytest.mark.parametrize(
    "text", ["#!/bin/sh\n", "#! /bin/sh -eu\n", "#!\t/bin/sh\tx", "#!bin/sh\n", "#!/bin/sh\0rest"]
)
def test_an_interpreter_of_the_image_is_accepted(rootfs: Path, text: str) -> None:
    program(rootfs / "app/run", text)
    assert find(rootfs, "/app/run") == "/app/run"


def test_an_entrypoint_that_is_a_fifo_is_refused_at_once(rootfs: Path) -> None:
    os.mkfifo(rootfs / "app/run", 0o777)
    with pytest.raises(ImageError, match="is no regular file"):
        find(rootfs, "/app/run")


@pytest.fixture
def nobody() -> Iterator[None]:
    """Make the caller an unprivileged user for the length of the test."""
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


def test_directories_that_the_caller_may_not_read_are_left_to_the_runtime(closed: Path, nobody: None) -> None:
    assert find(closed, "/app/run") == "/app/run"
    assert find(closed, "run", cwd="/app", path=".") == "run"
    with pytest.raises(ImageError, match="the image's /etc/passwd may not be read by you"):
        users.resolve(str(closed), "5")
