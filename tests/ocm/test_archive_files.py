"""Archives: read from directories and tars within bounds, and written with the same bytes."""

import gzip
import io
import json
import os
import tarfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components import Local, component, content, make_archive, move, tree
from tweed_shim.data import documents
from tweed_shim.errors import ComponentError, ShimError
from tweed_shim.image.archive_reader import Extent
from tweed_shim.image.content import digest_of
from tweed_shim.ocm import archive_files, blob_access, ctf, tar_reader, tar_writer
from tweed_shim.ocm.archive_files import open_archive, read_small

COMPONENT = component("example.com/app", "1.0.0", [Local("notes", b"some notes"), Local("more", b"x" * 5000)])
NAME = "//example.com/app:1.0.0"


def packed(*members: tuple[str, bytes | None], links: dict[str, str] | None = None) -> bytes:
    """A tar; a member without content is a directory."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE if data is None else tarfile.REGTYPE
            info.size = len(data or b"")
            tar.addfile(info, io.BytesIO(data or b""))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return made.getvalue()


def written(directory: Path, data: bytes) -> str:
    path = directory / "archive"
    path.write_bytes(data)
    return os.fspath(path)


@pytest.mark.parametrize("file_format", ctf.FORMATS)
def test_an_archive_returns_the_added_component_version(tmp_path: Path, file_format: str) -> None:
    path = make_archive(tmp_path / "a", COMPONENT, file_format=file_format)
    assert content(path + NAME, "notes") == b"some notes"
    assert content(path + NAME, "more") == b"x" * 5000


@pytest.mark.parametrize("file_format", ctf.FORMATS)
def test_the_same_content_makes_the_same_bytes(tmp_path: Path, file_format: str) -> None:
    first = make_archive(tmp_path / "a", COMPONENT, file_format=file_format)
    source = make_archive(tmp_path / "b", COMPONENT, file_format="tar")
    move(source + NAME, f"{tmp_path}/c", file_format=file_format)
    if file_format == "directory":
        assert tree(first) == tree(tmp_path / "c")
    else:
        assert (tmp_path / "a").read_bytes() == (tmp_path / "c").read_bytes()


def test_a_tar_has_its_index_first_and_its_blobs_by_name(tmp_path: Path) -> None:
    path = make_archive(tmp_path / "a", COMPONENT, file_format="tar")
    with tarfile.open(path) as tar:
        names = tar.getnames()
        assert {(member.uid, member.gid, member.mtime) for member in tar} == {(0, 0, tar_writer.WRITTEN)}
    assert names[:2] == ["artifact-index.json", "blobs"]
    assert names[2:] == sorted(names[2:])


def test_an_index_may_have_its_older_name(tmp_path: Path) -> None:
    path = make_archive(tmp_path / "a", COMPONENT)
    os.rename(f"{path}/artifact-index.json", f"{path}/artifact-descriptor.json")
    assert content(path + NAME, "notes") == b"some notes"


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_an_index_of_another_schema_is_refused(tmp_path: Path, version: object) -> None:
    (tmp_path / "artifact-index.json").write_text(json.dumps({"schemaVersion": version, "artifacts": []}))
    with pytest.raises(ComponentError, match="schemaVersion other than 1"):
        content(f"{tmp_path}{NAME}", "notes")


def test_a_header_is_what_other_tools_write() -> None:
    ours = tar_writer.header("blobs/sha256.00", 12345)
    info = tarfile.TarInfo.frombuf(ours, "utf-8", "strict")
    assert (info.name, info.size, info.mode, info.type) == ("blobs/sha256.00", 12345, 0o644, tarfile.REGTYPE)
    assert tarfile.TarInfo.frombuf(tar_writer.header("x", 1 << 40), "utf-8", "strict").size == 1 << 40
    with pytest.raises(ValueError, match="too long"):
        tar_writer.header("x" * 101, 0)


def test_content_is_never_whole_in_memory(tmp_path: Path) -> None:
    size = 40 << 20
    (tmp_path / "sparse").touch()
    os.truncate(tmp_path / "sparse", size)
    with open(tmp_path / "sparse", "rb") as file:
        extent = Extent(file.fileno(), 0, size)
        digest = digest_of(extent.chunks())
        tracemalloc.start()
        try:
            for kind, compress in (("tar", False), ("tgz", True)):
                pieces = tar_writer.archive_pieces([tar_writer.TarMember("big", size, extent.chunks)])
                with open(tmp_path / kind, "wb") as target:
                    target.writelines(tar_writer.gzip_pieces(pieces) if compress else pieces)
                with open_archive(f"{tmp_path}/{kind}") as members:
                    blob = blob_access.from_member(members, "big", digest=digest, what="the blob")
                    assert sum(map(len, blob.pieces())) == size
            assert tracemalloc.get_traced_memory()[1] < 16 << 20
        finally:
            tracemalloc.stop()


def test_only_the_tar_headers_before_a_name_are_read(tmp_path: Path) -> None:
    data = packed(("first", b"1"), ("second", b"2"))
    path = written(tmp_path, data[:1024] + b"\xff" * 512)
    with open_archive(path) as members:
        assert read_small(members, "first") == b"1"
        with pytest.raises(ComponentError, match="not a whole tar archive"):
            read_small(members, "second")


def test_a_gzipped_tar_is_expanded_only_up_to_a_name(tmp_path: Path) -> None:
    data = gzip.compress(packed(("first", b"1"), ("second", os.urandom(4 << 20)), ("third", b"3")))
    path = written(tmp_path, data[:-100])
    with open_archive(path) as members:
        assert read_small(members, "first") == b"1"
        with pytest.raises(ShimError, match="damaged"):
            read_small(members, "third")


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "blobs/../../out", ".."])
def test_a_name_that_leads_out_of_a_tar_is_refused(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, packed((name, b"x"), ("artifact-index.json", b"{}")))
    with pytest.raises(ComponentError, match="leads out of the archive"):
        content(f"ctf::{path}{NAME}", "notes")
    assert os.listdir(tmp_path) == ["archive"]


def test_a_repeated_tar_name_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, packed(("a", b"1"), ("a", b"2")))
    with pytest.raises(ComponentError, match="holds a twice"), open_archive(path) as members:
        archive_files.list_names(members, "")


def test_a_link_in_a_tar_is_no_file(tmp_path: Path) -> None:
    path = written(tmp_path, packed(("real", b"1"), links={"link": "/etc/passwd"}))
    with open_archive(path) as members:
        assert read_small(members, "link") is None
        assert read_small(members, "real") == b"1"


def test_a_gzip_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_reader, "ALWAYS_EXPANDED", 1 << 20)
    bomb = gzip.compress(packed(("artifact-index.json", b"{}"), ("blobs/x", bytes(64 << 20))))
    path = written(tmp_path, bomb)
    with pytest.raises(ComponentError, match="expands to more than"), open_archive(path) as members:
        read_small(members, "blobs/x")


def test_an_index_beyond_its_size_limit_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, packed(("artifact-index.json", b" " * (documents.MAX_BYTES + 1))))
    with pytest.raises(ComponentError, match="larger than 4 MiB"):
        content(f"{path}{NAME}", "notes")


@pytest.mark.parametrize("missing", ["nowhere", "nowhere/at/all"])
def test_a_missing_archive_is_an_error(tmp_path: Path, missing: str) -> None:
    with pytest.raises(ComponentError, match="does not exist; check its name"):
        content(f"{tmp_path}/{missing}{NAME}", "notes")


def test_a_file_that_is_no_archive_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("hello")
    for name, message in (
        ("pipe", "neither a directory nor a file"),
        ("empty", "no repository of components"),
        ("text", "not a whole tar archive"),
    ):
        with pytest.raises(ComponentError, match=message):
            content(f"{tmp_path}/{name}{NAME}", "notes")


@pytest.fixture(scope="module", params=["tar", "tgz"])
def whole(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[bytes, Path]]:
    path = tmp_path_factory.mktemp("whole")
    source = make_archive(path / "whole", COMPONENT, file_format=request.param)
    with open(source, "rb") as file:
        yield file.read(), path


def _read_all(path: str) -> None:
    assert content(path + NAME, "notes") == b"some notes"
    assert content(path + NAME, "more") == b"x" * 5000


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_truncated_archive_is_read_correctly_or_is_refused(
    whole: tuple[bytes, Path], data: st.DataObject
) -> None:
    content_, directory = whole
    cut = data.draw(st.integers(0, len(content_) - 1))
    _read_or_refuse(directory, content_[:cut])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_an_archive_with_flipped_bits_is_read_correctly_or_is_refused(
    whole: tuple[bytes, Path], data: st.DataObject
) -> None:
    changed = bytearray(whole[0])
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    _read_or_refuse(whole[1], bytes(changed))


def _read_or_refuse(directory: Path, data: bytes) -> None:
    path = written(directory, data)
    try:
        _read_all(f"ctf::{path}")
    except ShimError as error:
        assert "\n" not in str(error)  # noqa: PT017 - that it is raised is not what is asserted
