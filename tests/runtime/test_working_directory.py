"""A working directory that can be none is refused in a sentence of our own; one that can be made is made."""

import os
from pathlib import Path

import pytest

from installed import Shim
from layouts import File, directory, symlink
from script_images import METADATA, ScriptImage
from tweed_shim.errors import ImageError
from tweed_shim.runtime import working_directory

MOUNTED = {"/proc": "proc", "/tmp": "tmpfs", "/tweed/home": "bind"}
FILES = {
    "pipe": File(kind=b"6"),
    "file": File(b"x"),
    "dir": directory(),
    "to-dir": symlink("dir"),
    "to-file": symlink("/file"),
    "nowhere": symlink("/missing"),
    "loop": symlink("loop"),
    "to-proc": symlink("/proc/self"),
}

REFUSED = {
    "/pipe": "is not a directory",
    "/file": "is not a directory",
    "/file/below": "leads through '/file', which is not a directory",
    "/to-file": "leads through '/file', which is not a directory",
    "/nowhere": "leads by the link '/nowhere' to '/missing', which does not exist",
    "/nowhere/below": "leads by the link '/nowhere' to '/missing', which does not exist",
    "/loop": "cannot be followed (Too many levels of symbolic links)",
    "/" + "w" * 300: "has a name longer than the 255 bytes that the kernel takes",
    "/missing/" + "w" * 300: "has a name longer than the 255 bytes that the kernel takes",
    "/" + "w/" * 2500: "is longer than the 4095 bytes that the kernel takes",
    "/" + "ä/" * 1400: "is longer than the 4095 bytes that the kernel takes",
}
ACCEPTED = [
    "/",
    "/dir",
    "/dir/new",
    "/to-dir/new",
    "/missing/new",
    "/to-proc",
    "/proc/1",
    "/tmp/a",
    "/tweed/home/a",
]


@pytest.fixture
def rootfs(tmp_path: Path) -> str:
    for name, entry in FILES.items():
        path = tmp_path / name
        if entry.kind == b"6":
            os.mkfifo(path)
        elif entry.kind == b"5":
            path.mkdir()
        elif entry.link:
            path.symlink_to(entry.link)
        else:
            path.write_bytes(entry.content)
    return os.fspath(tmp_path)


@pytest.mark.parametrize("path", REFUSED, ids=lambda path: path[:20])
def test_what_can_be_no_directory_is_named(rootfs: str, path: str) -> None:
    with pytest.raises(ImageError) as caught:
        working_directory.check(rootfs, path, MOUNTED, "the image")
    said = str(caught.value)
    assert said.startswith(f"the image cannot be run: its working directory '{path[:20]}")
    assert f" {REFUSED[path]}; name another WorkingDir" in said
    assert len(said) < 300


@pytest.mark.parametrize("path", ACCEPTED)
def test_directories_and_what_can_be_made_are_accepted(rootfs: str, path: str) -> None:
    working_directory.check(rootfs, path, MOUNTED, "the image")


@pytest.mark.parametrize("path", ["/pipe", "/nowhere", "/" + "w" * 5000], ids=lambda path: path[:20])
def test_an_image_is_refused_before_a_run(shim: Shim, script_image: ScriptImage, path: str) -> None:
    image = script_image(f"case $1 in metadata) {METADATA} ;; esac", files=FILES, workdir=path)
    done = shim.run("exec", image, "metadata")
    assert (done.code, done.out) == (125, b""), done
    *_, message = done.err.decode().splitlines()
    assert f"{image} cannot be run: its working directory" in message
    assert "runc" not in message
    assert not os.path.exists(os.path.join(shim.root, "runs", "1"))


@pytest.mark.parametrize("path", ["/dir/new", "/to-dir/new", "/tweed/home/a"])
def test_a_missing_directory_is_made(shim: Shim, script_image: ScriptImage, path: str) -> None:
    script = (
        f'case $1 in metadata) [ "$(pwd -P)" = "{path.replace("/to-dir", "/dir")}" ] && {METADATA} ;; esac'
    )
    done = shim.run("exec", script_image(script, files=FILES, workdir=path), "metadata")
    assert done.code == 0, done


@pytest.mark.parametrize("path", ["/proc/self/status", "/etc/hosts"])
def test_what_only_the_runtime_can_see_is_its_complaint_with_a_remedy(
    shim: Shim, script_image: ScriptImage, path: str
) -> None:
    image = script_image("true", workdir=path)
    done = shim.run("exec", image, "metadata")
    assert done.code == 125, done
    *_, message = done.err.decode().splitlines()
    assert f"{image} metadata: the working directory '{path}' of the image cannot be used (" in message
    assert message.endswith("; name another WorkingDir and build the image again")
