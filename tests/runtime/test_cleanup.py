"""What an image writes to $OUT_CONFIG is synced and kept, however much and deep it is; and limits are named."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from installed import Shim
from script_images import METADATA, ScriptImage
from tweed_shim.base import files
from tweed_shim.cli.main import main
from tweed_shim.runtime import cleanup

# A disk that takes longer to sync than the timeout of the image.
SLOW_DISK = """
import sys, time
from tweed_shim.base import files
from tweed_shim.cli.main import main
sync = files.sync_filesystem

def slow(path):
    time.sleep(5)
    sync(path)

files.sync_filesystem = slow
sys.exit(main())
"""
# 3,000 levels, made of three times 1,000, as no path may have more than 4,096 bytes.
DEEP = (
    'cd "$OUT_CONFIG"; path=$(printf "d/%.0s" $(seq 1000)); mkdir -p "1/$path"; '
    'for i in 2 3; do mkdir -p "$i/$path"; mv $((i-1)) "$i/$path" || exit 9; done'
)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: found.append(os.readlink(f"/proc/self/fd/{fd}")))
    monkeypatch.setattr(files, "sync_filesystem", lambda path: found.append(f"all of {path}"))
    return found


def test_a_few_files_are_synced_one_by_one(tmp_path: Path, synced: list[str]) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "file").write_text("x", encoding="ascii")
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe")
    cleanup.sync_tree(str(tmp_path))
    assert sorted(synced) == [str(tmp_path / each) for each in (".", "a", "a/b", "a/file")]


def test_many_files_are_synced_at_once(tmp_path: Path, synced: list[str]) -> None:
    for number in range(cleanup.FEW + 1):
        (tmp_path / str(number)).touch()
    cleanup.sync_tree(str(tmp_path))
    assert synced == [f"all of {tmp_path}"]


def test_paths_that_are_too_long_to_open_are_synced_at_once(tmp_path: Path, synced: list[str]) -> None:
    at = os.open(tmp_path, os.O_RDONLY)
    for _ in range(30):
        os.mkdir("d" * 200, dir_fd=at)
        deeper = os.open("d" * 200, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = deeper
    os.close(at)
    cleanup.sync_tree(str(tmp_path))
    assert synced == [f"all of {tmp_path}"]


def test_a_file_system_is_synced(tmp_path: Path) -> None:
    files.sync_filesystem(str(tmp_path))
    with pytest.raises(NotADirectoryError):
        files.sync_filesystem("/etc/passwd")


@pytest.mark.skipif(os.geteuid() != 0, reason="the images are made by root's fixtures")
def test_the_timeout_does_not_count_while_files_are_synced(script_image: ScriptImage, tmp_path: Path) -> None:
    image = script_image(
        f'case $1 in metadata) {METADATA};; configure) cd "$OUT_CONFIG"; for i in $(seq 200); do : > $i; done;; esac'
    )
    root = str(tmp_path / "store")
    assert main(["--root", root, "-q", "exec", image, "metadata"]) == 0
    command = [sys.executable, "-c", SLOW_DISK, "--root", root, "exec", image]
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [*command, "configure", "--timeout", "4"],
        env=environment,
        input=b"{}",
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"the image has ended; what it wrote is brought to the disk\n" in done.stderr
    assert len(os.listdir(f"{root}/clouds/default/config/current/data")) == 200
    assert json.loads(Path(root, "runs", "2", "run.json").read_bytes())["state"] == "ended"


@pytest.mark.parametrize("account", ["root", "range"], indirect=True)
def test_directories_nested_deeper_than_a_path_can_be_long_are_kept_and_removed(
    shim: Shim, script_image: ScriptImage
) -> None:
    image = script_image(f"case $1 in metadata) {METADATA};; configure) {DEEP};; esac")
    for _ in range(2):
        done = shim.run("exec", image, "configure", stdin=b"{}")
        assert done.code == 0, done
        assert b"Traceback" not in done.err
    place = os.path.join(shim.root, "clouds", "default", "config")
    assert sorted(os.listdir(place)) == ["2", "current", "lock"], "the earlier one has been swept"
    assert shim.run("exec", image, "check").code == 0
    assert shim.run("gc").code == 0
    assert shim.run("clouds", "rm", "default").code == 0
    assert os.listdir(os.path.join(shim.root, "tmp")) == []
