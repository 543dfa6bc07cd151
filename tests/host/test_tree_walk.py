"""Walks through directory trees: deep ones, odd names, and links in the place of directories."""

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tweed_shim.host import owned_trees, tree_copy, tree_walk
from tweed_shim.host.tree_walk import ENTER, LEAVE, OTHER
from tweed_shim.host.userns import IdMap

LEVELS = 3000
NOBODY_ELSE = (os.geteuid(), os.getegid())


@contextmanager
def opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def steps(path: Path) -> list[tuple[int, str]]:
    with opened(path) as top:
        return [(step, name) for step, _, name, _ in tree_walk.walk(top)]


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A tree that is deeper than a path can be long, and than a process can have descriptors."""
    path = tmp_path / "deep"
    path.mkdir()
    at = os.open(path, os.O_RDONLY)
    for _ in range(LEVELS):
        os.mkdir("dd", dir_fd=at)
        inner = os.open("dd", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(os.open("file", os.O_WRONLY | os.O_CREAT, 0o040, dir_fd=at))
    os.close(at)
    yield path
    subprocess.run(["rm", "-rf", *tmp_path.iterdir()], check=True)


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 16, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_directories_are_entered_and_left_in_order(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").touch()
    os.mkfifo(tmp_path / "a/pipe")
    (tmp_path / os.fsdecode(b"\xff")).symlink_to("a")
    assert steps(tmp_path) == [
        (OTHER, os.fsdecode(b"\xff")),
        (ENTER, "a"),
        (OTHER, "pipe"),
        (ENTER, "b"),
        (OTHER, "file"),
        (LEAVE, "b"),
        (LEAVE, "a"),
    ]


def test_a_walk_is_as_deep_as_the_tree(deep: Path, few_descriptors: None) -> None:
    found = steps(deep)
    assert found == [(ENTER, "dd")] * LEVELS + [(OTHER, "file")] + [(LEAVE, "dd")] * LEVELS


def test_deep_trees_are_copied_and_taken_over(deep: Path, few_descriptors: None) -> None:
    copied = deep.parent / "copied"
    copied.mkdir()
    tree_copy.copy(str(deep), str(copied), NOBODY_ELSE)
    assert steps(copied) == steps(deep)
    owned_trees.take_over(IdMap("host"), str(deep))
    assert steps(deep) == steps(copied)


def test_a_link_in_the_place_of_a_directory_is_not_entered(tmp_path: Path) -> None:
    tree, victim = tmp_path / "tree", tmp_path / "victim"
    (tree / "inner").mkdir(parents=True)
    victim.mkdir()
    (victim / "file").touch()
    with opened(tree) as top:
        walk = tree_walk.walk(top)
        assert next(walk)[0] == ENTER
        (tree / "inner").rename(tree / "aside")
        (tree / "inner").symlink_to(victim)
        with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
            next(walk)


def test_another_directory_in_the_place_of_one_is_not_entered(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    with opened(tmp_path) as top:
        walk = tree_walk.walk(top)
        next(walk)
        (tmp_path / "inner").rename(tmp_path / "aside")
        (tmp_path / "inner").mkdir()
        with pytest.raises(OSError, match="has been replaced"):
            next(walk)


def test_a_directory_that_is_moved_away_does_not_lead_the_walk_out(tmp_path: Path) -> None:
    (tmp_path / "tree/inner/file").mkdir(parents=True)
    before = os.listdir("/proc/self/fd")
    with opened(tmp_path / "tree") as top:
        walk = tree_walk.walk(top)
        assert [next(walk)[2] for _ in range(2)] == ["inner", "file"]
        (tmp_path / "tree/inner").rename(tmp_path / "moved")
        assert next(walk)[::2] == (LEAVE, "file")
        with pytest.raises(OSError, match="has been replaced"):
            next(walk)
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize(
    ("mode", "readable"),
    [(0o104000, 0o0400), (0o106755, 0o755), (0o041770, 0o1770), (0o040000, 0o500), (0o100200, 0o600)],
)
def test_permissions_for_an_owner_who_reads(mode: int, readable: int) -> None:
    assert tree_walk.owner_readable(mode) == readable
