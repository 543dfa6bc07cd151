import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

import layouts
from layouts import hard_link, symlink
from refusals import refusal
from tweed_shim.errors import ImageError
from tweed_shim.image import archive_reader
from tweed_shim.image.archive_reader import Directory, TarMembers


@contextmanager
def opened_tar(data: bytes) -> Iterator[TarMembers]:
    fd = os.memfd_create("tar")
    try:
        os.write(fd, data)
        yield TarMembers(fd, "the archive")
    finally:
        os.close(fd)


@contextmanager
def tar_with(files: layouts.Files) -> Iterator[TarMembers]:
    with opened_tar(layouts.tar_of(files)) as tar:
        yield tar


def read_all(data: bytes, names: tuple[str, ...]) -> None:
    with opened_tar(data) as tar:
        for name in names:
            with suppress(KeyError):
                archive_reader.read(tar, name)


def test_members_are_read_by_exact_name_with_or_without_a_leading_dot() -> None:
    with tar_with({"./index.json": "1", "blobs/sha256/x": "22"}) as tar:
        assert archive_reader.read(tar, "index.json") == b"1"
        assert archive_reader.read(tar, "blobs/sha256/x") == b"22"
        with pytest.raises(KeyError):
            archive_reader.read(tar, "blobs/sha256")


def test_a_later_member_takes_the_place_of_an_earlier_one() -> None:
    first, second = layouts.tar_of({"a": "old"}), layouts.tar_of({"a": "new"})
    with opened_tar(first[:1024] + second) as tar:
        assert archive_reader.read(tar, "a") == b"new"


def test_links_lead_to_members_of_the_same_archive() -> None:
    with tar_with(
        {"x/layer.tar": "data", "y/layer.tar": symlink("../x/layer.tar"), "z": hard_link("x/layer.tar")}
    ) as tar:
        assert archive_reader.read(tar, "y/layer.tar") == archive_reader.read(tar, "z") == b"data"


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../../../../etc/passwd", "loop", "nowhere", "fifo", "dir", ""]
)
def test_links_that_lead_elsewhere_lead_nowhere(target: str) -> None:
    fifo = layouts.File(kind=tarfile.FIFOTYPE)
    entries = {"a": symlink(target), "loop": symlink("a"), "fifo": fifo, "dir": layouts.directory()}
    with tar_with(entries) as tar, pytest.raises(KeyError):
        archive_reader.read(tar, "a")


@pytest.mark.parametrize("name", ["/etc/passwd", "../outside", "a/../../outside"])
def test_members_named_outside_of_the_archive_are_not_there(name: str) -> None:
    with tar_with({name: "x"}) as tar, pytest.raises(KeyError):
        archive_reader.read(tar, name)


def test_a_small_file_over_4_mib_is_refused() -> None:
    with tar_with({"index.json": b" " * ((4 << 20) + 1)}) as tar, pytest.raises(ImageError, match="4 MiB"):
        archive_reader.read(tar, "index.json")


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    member = tarfile.TarInfo(name)
    member.type = kind
    block = bytearray(member.tobuf(tarfile.USTAR_FORMAT))
    # A size as base-256, which has room for those that are out of all bounds.
    block[124:136] = (
        (size & (1 << 96) - 1).to_bytes(12, "big") if size < 0 else (1 << 95 | size).to_bytes(12, "big")
    )
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    return bytes(block)


@pytest.mark.parametrize(
    "data",
    [
        header("a", -512) + bytes(1024),
        header("a", -1024) + header("b", -1024) + bytes(1024),
        header("a", 1 << 62) + bytes(1024),
        header("a", 4096) + bytes(1024),
        header("x", 1 << 40, tarfile.XHDTYPE) + bytes(1024),
        header("x", 1 << 40, tarfile.GNUTYPE_LONGNAME) + bytes(1024),
        b"not a tar at all" * 100,
        layouts.tar_of({"a": "x" * 5000})[:2000],
    ],
)
def test_an_archive_of_impossible_sizes_is_refused_in_bounded_time_and_memory(data: bytes) -> None:
    with pytest.raises(ImageError, match="the archive is not a whole tar"), opened_tar(data):
        pass


def test_an_archive_of_endless_members_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tweed_shim.image.headers.MOST_MEMBERS", 100)
    with (
        pytest.raises(ImageError, match="more members"),
        tar_with({str(number): "" for number in range(101)}),
    ):
        pass


@given(st.binary(max_size=64), st.integers(0, 2048), st.booleans())
def test_no_mangled_tar_raises_anything_but_an_image_error(noise: bytes, at: int, gnu: bool) -> None:
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT if gnu else tarfile.PAX_FORMAT
    ) as tar:
        member = tarfile.TarInfo("name/" * 40 + "é")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"abc"))
    data = bytearray(buffer.getvalue()[:5120])
    data[at : at + len(noise)] = noise
    sentence = refusal(lambda: read_all(bytes(data), (member.name, "name")), ImageError)
    assert sentence is None or sentence.startswith("the archive")


def test_a_directorys_pipes_and_missing_files_are_not_there(tmp_path: os.PathLike[str]) -> None:
    os.mkfifo(os.path.join(tmp_path, "pipe"))
    with open(os.path.join(tmp_path, "file"), "wb") as file:
        file.write(b"data")
    place = Directory(os.fspath(tmp_path))
    assert archive_reader.read(place, "file") == b"data"
    for name in ("pipe", "nothing", "file/below", "."):
        with pytest.raises(KeyError):
            archive_reader.read(place, name)
