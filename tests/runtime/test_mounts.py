"""Mounts that a container is shown of the host: read-only in all their depth, on every kernel."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from installed import PROJECT
from tweed_shim.runtime import mounts

# Shows the host's /sys and a directory with a mount in it at new places, and prints how each file system there is
# mounted. The first argument: whether the kernel has mount_setattr(2) or is said not to.
SHOW = """
import errno, json, os, sys
from tweed_shim.runtime import kernel, mounts
if sys.argv[1] == "old":
    def refuse(target, attributes):
        raise OSError(errno.ENOSYS, "as Linux before 5.12")
    kernel.set_mount_attributes = refuse
kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
kernel.mount("tmpfs", "of the host", "tmpfs", 0)
os.mkdir("of the host/below")
kernel.mount("tmpfs", "of the host/below", "tmpfs", kernel.MS_NOEXEC)
os.mkdir("shown")
mounts.bind_read_only("of the host", os.path.abspath("shown"))
mounts.show_sys(os.path.abspath("sys"))
found = {}
with open("/proc/self/mountinfo") as file:
    for line in file:
        point, options = line.split()[4:6]
        found[os.path.relpath(point.replace("\\\\040", " "), os.getcwd())] = options.split(",")
print(json.dumps({
    "mounts": {point: options for point, options in found.items() if point.split("/")[0] in ("shown", "sys")},
    "groups": os.listdir("sys/fs/cgroup"),
}))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount without a namespace of its own")
@pytest.mark.parametrize("kernel", ["new", "old"])
@pytest.mark.parametrize("namespaces", [("--mount",), ("--mount", "--user", "--map-root-user")], ids=" ".join)
def test_what_is_shown_is_read_only_in_all_its_depth(
    tmp_path: Path, kernel: str, namespaces: tuple[str, ...]
) -> None:
    place = tmp_path / "with a blank"
    (place / "of the host").mkdir(parents=True)
    done = subprocess.run(
        ["unshare", *namespaces, sys.executable, "-c", SHOW, kernel],
        cwd=place,
        env={**os.environ, "PYTHONPATH": os.path.join(PROJECT, "shim")},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done
    report = json.loads(done.stdout)
    assert {"shown", "shown/below", "sys", "sys/fs/cgroup"} <= report["mounts"].keys()
    writable = {point for point, options in report["mounts"].items() if "ro" not in options}
    assert writable == set()
    # What a user namespace may not drop is kept: mount_namespaces(7).
    assert "noexec" in report["mounts"]["shown/below"]
    assert report["groups"] == []


# Mounts an overlay whose layer is on a new file system of the kind in the first argument, and changes what an overlay
# needs an extended attribute for.
LAYER = """
import os, shutil, sys
from tweed_shim.runtime import kernel, mounts
kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
kernel.mount(sys.argv[1], "layer", sys.argv[1], 0)
try:
    mounts.mount_overlay(os.path.abspath("root"), os.path.abspath("lower"), os.path.abspath("layer"),
                         userns=sys.argv[2] == "userns")
except OSError as error:
    sys.exit(f"refused: {error.strerror}")
assert os.listdir("layer/work") == ["work"]
shutil.rmtree("root/directory")
os.mkdir("root/directory")
assert os.listdir("root/directory") == []
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount without a namespace of its own")
@pytest.mark.parametrize("namespaces", [("--mount",), ("--mount", "--user", "--map-root-user")], ids=" ".join)
@pytest.mark.parametrize("kind", ["tmpfs", "ramfs"])
def test_a_layer_that_cannot_keep_an_overlays_notes_is_refused(
    tmp_path: Path, kind: str, namespaces: tuple[str, ...]
) -> None:
    for name in ("layer", "root", "lower/directory/inner"):
        (tmp_path / name).mkdir(parents=True)
    userns = "userns" if "--user" in namespaces else "host"
    done = subprocess.run(
        ["unshare", *namespaces, sys.executable, "-c", LAYER, kind, userns],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.path.join(PROJECT, "shim")},
        capture_output=True,
        text=True,
        check=False,
    )
    # A ramfs stands for the tmpfs of Linux before 6.6, which has no extended attributes of users.
    refusal = (1, "refused: Operation not supported\n")
    assert (done.returncode, done.stderr) == (refusal if kind == "ramfs" else (0, "")), done


# Prints what is said of files in memory, and whether one of a new tmpfs really takes an attribute.
ATTRIBUTES = """
import os
from tweed_shim.runtime import kernel, mounts
kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
kernel.mount("tmpfs", "layer", "tmpfs", 0)
open("layer/file", "w").close()
try:
    os.setxattr("layer/file", "user.overlay.tweed", b"y")
    takes = True
except OSError:
    takes = False
print(mounts.tmpfs_has_user_attributes(), takes)
"""


def test_what_memory_can_hold_is_known_without_a_mount(tmp_path: Path) -> None:
    (tmp_path / "layer").mkdir()
    done = subprocess.run(
        ["unshare", "--mount", "--user", "--map-root-user", sys.executable, "-c", ATTRIBUTES],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.path.join(PROJECT, "shim")},
        capture_output=True,
        text=True,
        check=True,
    )
    told, takes = done.stdout.split()
    assert told == takes


@pytest.mark.parametrize(("number", "answer"), [(errno.EOPNOTSUPP, False), (errno.EPERM, True)])
def test_memory_is_taken_to_hold_attributes_unless_the_kernel_says_no(
    monkeypatch: pytest.MonkeyPatch, number: int, answer: bool
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    before = os.listdir("/proc/self/fd")
    with monkeypatch.context() as patch:
        patch.setattr(os, "setxattr", refuse)
        assert mounts.tmpfs_has_user_attributes() is answer
        patch.setattr(os, "memfd_create", refuse)
        assert mounts.tmpfs_has_user_attributes()
    assert len(os.listdir("/proc/self/fd")) == len(before)
