"""Files that users name are written exactly where the name leads, whatever another user has put there."""

import os
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from accounts import Account
from tweed_shim.base import files, named_files


def test_what_is_no_plain_file_is_written_into_and_stays(tmp_path: os.PathLike[str]) -> None:
    reader, writer = os.pipe()
    try:
        pipe = f"/proc/self/fd/{writer}"
        assert files.is_special(pipe)
        named_files.write(pipe, b"new")
        assert os.read(reader, 10) == b"new"
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device")
def test_a_device_is_never_replaced(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "null")
    os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    named_files.write(path, b"new")
    assert stat.S_ISCHR(os.stat(path).st_mode)
    assert os.listdir(tmp_path) == ["null"]


def test_a_plain_file_is_replaced_whole(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "it")
    for data in (b"old", b"new"):
        named_files.write(path, data)
        with open(path, "rb") as file:
            assert file.read() == data
    assert os.listdir(tmp_path) == ["it"]


def content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def test_a_file_keeps_its_mode_and_a_new_one_is_private(tmp_path: Path) -> None:
    path = tmp_path / "it"
    named_files.write(os.fspath(path), b"1")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o4644)
    named_files.write(os.fspath(path), b"2")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_another_name_of_a_file_is_replaced_and_decides_nothing(tmp_path: Path) -> None:
    path, other = tmp_path / "it", tmp_path / "other"
    other.write_bytes(b"kept")
    other.chmod(0o644)
    os.link(other, path)
    named_files.write(os.fspath(path), b"new")
    assert (path.read_bytes(), other.read_bytes()) == (b"new", b"kept")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def write_and_fail(path: str) -> None:
    with named_files.writing(path) as file:
        file.write(b"new")
        raise KeyboardInterrupt


def test_nothing_is_changed_where_the_block_fails(tmp_path: Path) -> None:
    path = tmp_path / "it"
    for before in (None, b"old"):
        if before is not None:
            path.write_bytes(before)
        with pytest.raises(KeyboardInterrupt):
            write_and_fail(os.fspath(path))
        assert content(path) == before
        assert os.listdir(tmp_path) == ([] if before is None else ["it"])


@pytest.mark.parametrize(
    ("links", "path", "written"),
    [
        ({}, "a/b/../it", "a/it"),
        ({}, "./a//it", "a/it"),
        ({"link": "a/b/it"}, "link", "a/b/it"),
        ({"link": "a"}, "link/b/it", "a/b/it"),
        ({"link": "a/b"}, "link/../it", "a/it"),
        ({"one": "two", "two": "three", "three": "a/it"}, "one", "a/it"),
        ({"a/up": ".."}, "a/up/a/b/it", "a/b/it"),
        ({"a/up": "../a/b/it"}, "a/up", "a/b/it"),
    ],
)
def test_ones_own_links_are_followed_as_the_kernel_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: dict[str, str], path: str, written: str
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    monkeypatch.chdir(tmp_path)
    for named in (path, os.fspath(tmp_path / path)):
        named_files.write(named, named.encode())
        assert (tmp_path / written).read_text() == named
        assert os.path.samefile(tmp_path / path, tmp_path / written)
    assert [name for name in links if not (tmp_path / name).is_symlink()] == []


def test_what_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_text("")
    for path, kind in (
        ("loop", OSError),
        ("file/it", NotADirectoryError),
        ("missing/it", FileNotFoundError),
        (".", IsADirectoryError),
        ("..", IsADirectoryError),
        ("new/", IsADirectoryError),
        ("x" * 300, OSError),
    ):
        with pytest.raises(kind) as raised:
            named_files.write(os.path.join(tmp_path, path), b"")
        assert "/proc/" not in f"{raised.value}"
    assert sorted(os.listdir(tmp_path)) == ["file", "loop"]


def test_a_directory_that_is_exchanged_meanwhile_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "chosen").mkdir()
    (tmp_path / "victim").mkdir()
    with named_files.writing(os.fspath(tmp_path / "chosen" / "it")) as file:
        (tmp_path / "chosen").rename(tmp_path / "moved")
        (tmp_path / "chosen").symlink_to("victim")
        file.write(b"new")
    assert (tmp_path / "moved" / "it").read_bytes() == b"new"
    assert os.listdir(tmp_path / "victim") == []


def test_directories_are_made_where_they_are_missing(tmp_path: Path) -> None:
    named_files.make_directory(os.fspath(tmp_path / "a" / "b"), 0o750)
    named_files.make_directory(os.fspath(tmp_path / "a" / "b"))
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o750
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        named_files.make_directory(os.fspath(tmp_path / "file"))


def test_a_file_that_cannot_be_given_to_its_owner_is_written_in_place(
    accounts: dict[str, Account], public_directory: str, program: str
) -> None:
    """The owner lets others write it, and its directory too: it does not become theirs."""
    owner, other = accounts["range"], accounts["single"]
    directory = Path(tempfile.mkdtemp(dir=public_directory))
    path = directory / "it"
    path.write_text("a longer text")
    path.chmod(0o666)
    for each in (directory, path):
        os.chown(each, owner.uid, other.gid)
    directory.chmod(0o770)
    subprocess.run(
        [program, "--trace", path, "version"],
        user=other.uid, group=other.gid, extra_groups=[], check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    assert path.read_text().startswith('{"traceEvents"')
    assert (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) == (owner.uid, 0o666)
    assert os.listdir(directory) == ["it"]
