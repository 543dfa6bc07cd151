"""A tree is given to a user and taken back, whatever its files are like."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tweed_shim.runtime import ownership

SOMEBODY = 4321

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def _about(path: Path) -> tuple[int, int, int]:
    found = path.lstat()
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


def test_all_of_a_tree_is_given_and_can_be_read(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "closed").mkdir(parents=True)
    (tree / "closed" / "file").write_text("text")
    (tree / "closed" / "file").chmod(0)
    (tree / "closed").chmod(0)
    os.mkfifo(tree / "pipe", 0o200)
    ownership.give(str(tree), SOMEBODY, SOMEBODY + 1)
    assert _about(tree) == (SOMEBODY, SOMEBODY + 1, 0o755)
    assert _about(tree / "closed") == (SOMEBODY, SOMEBODY + 1, 0o700)
    assert _about(tree / "closed" / "file") == (SOMEBODY, SOMEBODY + 1, 0o400)
    assert _about(tree / "pipe") == (SOMEBODY, SOMEBODY + 1, 0o600)


def test_what_a_link_leads_to_stays_whose_it_was(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir(mode=0o500)
    (tmp_path / "directory" / "file").touch(0o200)
    before = [_about(path) for path in (tmp_path / "directory", tmp_path / "directory" / "file")]
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "to-directory").symlink_to(tmp_path / "directory")
    (tree / "to-file").symlink_to(tmp_path / "directory" / "file")
    ownership.give(str(tree), SOMEBODY, SOMEBODY)
    assert [_about(path) for path in (tmp_path / "directory", tmp_path / "directory" / "file")] == before
    assert _about(tree / "to-directory")[:2] == _about(tree / "to-file")[:2] == (SOMEBODY, SOMEBODY)


def test_what_is_nested_deeper_than_a_path_can_be_long_stays_and_stops_nothing(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    before = os.getcwd()
    try:
        os.chdir(tree)
        for _ in range(25):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
    finally:
        os.chdir(before)
    (tree / "z").touch()
    ownership.give(str(tree), SOMEBODY, SOMEBODY)
    assert _about(tree / "z")[0] == _about(tree / ("d" * 200))[0] == SOMEBODY
    subprocess.run(["rm", "-rf", str(tree)], check=True)
