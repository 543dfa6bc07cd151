"""Open files below a directory: never one outside of it, and otherwise as openat2(2) does with RESOLVE_BENEATH."""

import ctypes
import errno
import os
import shutil
import stat
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components import Local, component, make_archive
from tweed_shim.base import beneath
from tweed_shim.errors import ComponentError, HostError, ImageError
from tweed_shim.image import archive_reader
from tweed_shim.image.archive_reader import Directory
from tweed_shim.ocm import archive_files, ctf

OPENAT2 = 437  # on every architecture
RESOLVE_BENEATH = 0x08
SECRET = b"what is outside"
INSIDE = b"what is inside"


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A directory `top` with a file in it, and beside it a directory `out` with a secret."""
    top = tmp_path / "top"
    (top / "a/b").mkdir(parents=True)
    (top / "a/b/file").write_bytes(INSIDE)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/file").write_bytes(SECRET)
    return top


def content(top: Path | str, path: str) -> bytes:
    with open(beneath.open_file(os.fspath(top), path), "rb") as file:
        return file.read()


@pytest.mark.parametrize("path", ["a/b/file", "./a//b/./file", "a/../a/b/file", "a/b/../../a/b/file"])
def test_a_file_is_read(top: Path, path: str) -> None:
    assert content(top, path) == INSIDE


@pytest.mark.parametrize("target", ["a/b", "./a/../a/b", "loop/../a/b", "a/again/a/b", "a/b/"])
def test_a_link_that_stays_inside_is_followed(top: Path, target: str) -> None:
    (top / "loop").mkdir()
    (top / "a/again").symlink_to("..")
    (top / "link").symlink_to(target)
    assert content(top, "link/file") == INSIDE
    fd = beneath.open_directory(os.fspath(top), "link")
    try:
        assert os.listdir(fd) == ["file"]
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    "target",
    ["{out}", "../out", "a/../../out", "a/up/../../out", "second", "{top}", "../top", "/proc/self/root"],
)
def test_a_link_that_leads_out_is_refused_though_it_came_back(top: Path, target: str) -> None:
    (top / "a/up").symlink_to("..")
    (top / "second").symlink_to("a/up/../out")
    (top / "link").symlink_to(target.format(out=top.parent / "out", top=top))
    for path in ("link/file", "link", "link/missing"):
        with pytest.raises(OSError, match="leads out") as caught:
            beneath.open_file(os.fspath(top), path)
        assert caught.value.errno == errno.EXDEV
    with pytest.raises(OSError, match="leads out"):
        beneath.open_directory(os.fspath(top), "link")


@pytest.mark.parametrize("path", ["/etc/passwd", "..", "../top/a/b/file", "a/../../out/file"])
def test_a_path_that_leads_out_is_refused(top: Path, path: str) -> None:
    with pytest.raises(OSError, match="leads out"):
        beneath.open_file(os.fspath(top), path)


def test_the_directory_itself_may_be_a_link(top: Path) -> None:
    (top.parent / "named").symlink_to(top)
    assert content(top.parent / "named", "a/b/file") == INSIDE


def test_forty_links_are_followed_and_no_more(top: Path) -> None:
    (top / "0").symlink_to("a/b/file")
    for number in range(1, 41):
        (top / str(number)).symlink_to(str(number - 1))
    assert content(top, "39") == INSIDE
    with pytest.raises(OSError, match="Too many levels"):
        beneath.open_file(os.fspath(top), "40")


def test_a_path_takes_a_bounded_number_of_descriptors(top: Path) -> None:
    deep = "d/" * beneath.DEEPEST
    (top / deep).mkdir(parents=True)
    (top / deep / "file").write_bytes(INSIDE)
    assert content(top, f"{deep}file") == INSIDE
    (top / "link").symlink_to(f"{deep}../d")
    (top / deep / "d").mkdir()
    (top / deep / "d/file").write_bytes(INSIDE)
    assert content(top, "link/file") == INSIDE
    with pytest.raises(OSError, match="File name too long"):
        beneath.open_file(os.fspath(top), f"{deep}d/file")


def test_only_regular_files_are_opened_and_nothing_is_waited_for(top: Path) -> None:
    os.mkfifo(top / "pipe")
    (top / "link").symlink_to("pipe")
    for name in ("pipe", "link", "a", ".", "a/", "missing", "a/b/file/below"):
        with pytest.raises((FileNotFoundError, NotADirectoryError)):
            beneath.open_file(os.fspath(top), name)
    for name in ("pipe", "a/b/file", "missing"):
        with pytest.raises((FileNotFoundError, NotADirectoryError)):
            beneath.open_directory(os.fspath(top), name)


def test_no_descriptor_is_left_open(top: Path) -> None:
    (top / "out").symlink_to("../out")
    before = os.listdir("/proc/self/fd")
    for path in ("a/b/file", "a/b", "a/b/missing", "out/file", "a/../.."):
        with suppress(OSError):
            os.close(beneath.open_file(os.fspath(top), path))
        with suppress(OSError):
            os.close(beneath.open_directory(os.fspath(top), path))
    assert os.listdir("/proc/self/fd") == before


# Compared with the kernel

_NAMES = st.sampled_from(["a", "b", "c"])
_STEPS = st.sampled_from(["a", "b", "c", "..", ".", ""])
_PATHS = st.lists(_STEPS, min_size=1, max_size=6).map("/".join).filter(bool)
# What a tree is made of, in the order of making: where, and what.
_ENTRIES = st.lists(
    st.tuples(
        st.lists(_NAMES, min_size=1, max_size=3).map("/".join),
        st.one_of(st.sampled_from(["file", "directory", "pipe"]), _PATHS.map(lambda path: f"link {path}")),
    ),
    max_size=9,
)


def build(root: str, entries: list[tuple[str, str]]) -> None:
    for place, what in entries:
        # What an earlier entry makes impossible is left out.
        with suppress(OSError):
            path = os.path.join(root, place)
            if any(os.path.islink(path[:end]) for end, letter in enumerate(path) if letter == "/" and end):
                continue
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if what == "file":
                Path(path).touch(exist_ok=False)
            elif what == "directory":
                os.mkdir(path)
            elif what == "pipe":
                os.mkfifo(path)
            else:
                os.symlink(what.removeprefix("link "), path)


def openat2(directory: str, path: str) -> int:
    """The descriptor of what the kernel finds beneath a directory (O_PATH: nothing is opened). Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    how = struct.pack("QQQ", os.O_PATH | os.O_CLOEXEC, 0, RESOLVE_BENEATH)
    top = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fd: int = libc.syscall(ctypes.c_long(OPENAT2), top, os.fsencode(path), how, ctypes.c_size_t(len(how)))
        if fd < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
        return fd
    finally:
        os.close(top)


def found(open_: Callable[[str, str], int], kind: Callable[[int], bool], top: str, path: str) -> object:
    """The inode of what is opened, or the number of the error; a missing file and one of another kind are the same."""
    try:
        fd = open_(top, path)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    try:
        about = os.fstat(fd)
        return about.st_ino if kind(about.st_mode) else None
    finally:
        os.close(fd)


def has_openat2() -> bool:
    try:
        os.close(openat2("/", "."))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_openat2(), reason="the kernel is older than 5.6, or hides openat2")
@settings(max_examples=400, deadline=None)
@given(entries=_ENTRIES, path=_PATHS)
def test_what_is_found_is_what_the_kernel_finds(entries: list[tuple[str, str]], path: str) -> None:
    with tempfile.TemporaryDirectory() as outer:
        top = os.path.join(outer, "c")
        os.mkdir(top)
        # Names that are inside as well: a wrong step upwards would find something.
        build(outer, [("a/b", "file"), ("b", "file")])
        build(top, entries)
        for open_, kind, other in (
            (beneath.open_file, stat.S_ISREG, "ENOENT"),
            (beneath.open_directory, stat.S_ISDIR, "ENOTDIR"),
        ):
            expected = found(openat2, kind, top, path) or other
            assert found(open_, kind, top, path) == expected


# While somebody changes the tree

ROUNDS = 3000


@contextmanager
def swapping(path: Path, target: str) -> Iterator[None]:
    """Within the block a directory and a link to a target take turns at a path, as fast as can be."""
    aside, link, ended = f"{path}.aside", f"{path}.link", threading.Event()
    os.symlink(target, link)

    def swap() -> None:
        while not ended.is_set():
            os.rename(path, aside)
            os.rename(link, path)
            os.rename(path, link)
            os.rename(aside, path)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("swapped", ["a", "a/b"])
def test_a_directory_that_becomes_a_link_while_it_is_read_leads_nowhere(top: Path, swapped: str) -> None:
    shutil.copytree(top.parent / "out", top.parent / "out/b")
    seen = set()
    with swapping(top / swapped, os.fspath(top.parent / "out")):
        for _ in range(ROUNDS):
            with suppress(OSError):
                seen.add(content(top, "a/b/file"))
    assert seen == {INSIDE}


def after_looking(
    monkeypatch: pytest.MonkeyPatch, function: str, argument: str, change: Callable[[], object]
) -> None:
    """Have a change made once, right after a function of the module has looked at what an argument names."""
    original = getattr(beneath, function)

    def looked(*arguments: object) -> object:
        result = original(*arguments)
        if argument in arguments:
            monkeypatch.undo()
            change()
        return result

    monkeypatch.setattr(beneath, function, looked)


@pytest.mark.parametrize("swapped", ["a", "a/b"])
def test_a_directory_that_becomes_a_link_once_it_was_looked_at_is_not_entered(
    top: Path, monkeypatch: pytest.MonkeyPatch, swapped: str
) -> None:
    shutil.copytree(top.parent / "out", top.parent / "out/b")
    (top / "link").symlink_to(top.parent / "out")

    def swap() -> None:
        os.rename(top / swapped, top / "aside")
        os.rename(top / "link", top / swapped)

    after_looking(monkeypatch, "_link_target", os.path.basename(swapped), swap)
    with pytest.raises(NotADirectoryError):
        content(top, "a/b/file")
    assert (top / swapped).is_symlink()


@pytest.mark.parametrize(("other", "fault"), [("link", "Too many levels"), ("pipe", "not a regular file")])
def test_a_file_that_becomes_something_else_once_it_was_looked_at_is_not_read(
    top: Path, monkeypatch: pytest.MonkeyPatch, other: str, fault: str
) -> None:
    (top / "link").symlink_to(top.parent / "out/file")
    os.mkfifo(top / "pipe")
    after_looking(monkeypatch, "_check_regular", "a/b/file", lambda: os.rename(top / other, top / "a/b/file"))
    with pytest.raises(OSError, match=fault):
        content(top, "a/b/file")
    assert not os.path.lexists(top / other)


def test_a_transfer_into_an_archive_whose_blobs_become_a_link_writes_nothing_elsewhere(
    tmp_path: Path,
) -> None:
    path = tmp_path / "archive"
    make_archive(path, component("example.com/app", "0.0.0"))
    (tmp_path / "out").mkdir()
    written = 0
    with swapping(path / "blobs", os.fspath(tmp_path / "out")):
        for number in range(150):
            # What is read in its turn may not be there at that moment.
            with suppress(ComponentError, HostError):
                make_archive(
                    path, component("example.com/app", f"1.0.{number}", [Local("a", b"%d" % number)])
                )
                written += 1
    assert written
    assert os.listdir(tmp_path / "out") == []


# What is read by it


def test_a_file_behind_a_link_out_is_refused_in_a_sentence_of_the_right_kind(top: Path) -> None:
    (top / "link").symlink_to("../out")
    (top / "circle").symlink_to("circle")
    sentence = f"^link/file in {top} cannot be used: it leads out of that directory by a link; if you trust"
    with pytest.raises(ImageError, match=sentence):
        archive_reader.read(Directory(os.fspath(top)), "link/file")
    with archive_files.open_archive(os.fspath(top)) as archive:
        with pytest.raises(ComponentError, match=sentence):
            archive_files.read_small(archive, "link/file")
        with pytest.raises(
            ComponentError, match=r"^circle in .* its links form a loop; create the directory again"
        ):
            archive_files.read_small(archive, "circle")
        with pytest.raises(ComponentError, match="leads out of that directory"):
            archive_files.list_names(archive, "link/")
        with pytest.raises(ComponentError, match="leads out of that directory"):
            archive_files.first_of(archive, ["missing", "link/file", "a/b/file"])
        assert archive_files.list_names(archive, "a/b/") == ["a/b/file"]
        assert archive_files.list_names(archive, "missing/") == []
        assert archive_files.first_of(archive, ["missing", "a", "a/b/file"]) == "a/b/file"


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_a_name_that_no_file_has_is_not_there(top: Path, name: str) -> None:
    with archive_files.open_archive(os.fspath(top)) as archive:
        assert archive_files.read_small(archive, name) is None


def test_a_pipe_in_the_place_of_an_archive_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with (
        pytest.raises(ComponentError, match="is neither a directory nor a file"),
        ctf.open_for_writing(os.fspath(tmp_path / "pipe")),
    ):
        pass
