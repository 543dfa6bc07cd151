"""Whatever writes a file writes it whole or not at all, at whichever byte the disk becomes full.

The last bytes of a file are easily lost: Python keeps them until the file is flushed, and some file systems refuse them
only when the file is closed. A file that is left short, or renamed, would be taken for whole later.
"""

import errno
import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from accounts import Account
from leftovers import work_directory
from small_disks import Disk
from tweed_shim import files, named_files
from tweed_shim.errors import ShimError
from tweed_shim.image import blobs as image_blobs
from tweed_shim.image.download import download_blob
from tweed_shim.image.manifest import OCI_MANIFEST, Descriptor, Raw
from tweed_shim.ocm import artifact_sets, ctf, resources, stores
from tweed_shim.ocm.blobs import Blob, digest_of, of_bytes
from tweed_shim.ocm.content import Content
from tweed_shim.toi import executor
from tweed_shim.toi.outputs import Outputs
from tweed_shim.toi.outputs import write as write_outputs

# Of no size that a buffer or a page has.
DATA = random.Random(0).randbytes(70_001)
PIECES = [DATA[:33_000], DATA[33_000:69_990], DATA[69_990:]]
OLD = b"what was there before"
PAGE = os.sysconf("SC_PAGE_SIZE")
# Free pages on the disk: of all that the writers need, and more.
ROOMS = (*range(28), 40, 256)


class Writer(NamedTuple):
    """write: puts DATA at a path. there: whether it is there whole. replaces: whether it takes the place of a file."""

    write: Callable[[str], object]
    there: Callable[[str], bool]
    replaces: bool = True


def is_data(path: str) -> bool:
    return Path(path).read_bytes() == DATA


def is_archive(path: str) -> bool:
    with ctf.written(path) as archive:
        return archive.blob("repository", Descriptor("", digest_of([DATA]), len(DATA)), "it").read() == DATA


def is_layout(path: str) -> bool:
    return Path(path, "blobs", *digest_of([DATA]).split(":")).read_bytes() == DATA


def named(path: str, *, durable: bool) -> None:
    with named_files.writing(path, durable=durable) as file:
        file.writelines(PIECES)


def whole(path: str) -> None:
    with files.whole(path) as file:
        file.writelines(PIECES)


class Pieces:
    """The content of DATA."""

    size = len(DATA)

    def chunks(self) -> Iterator[bytes]:
        return iter(PIECES)


@contextmanager
def opened() -> Iterator[Content]:
    yield Pieces()


def blob() -> Blob:
    return Blob("it", "application/octet-stream", digest_of(PIECES), len(DATA), opened)


def artifact() -> tuple[Raw, Blob]:
    layer, config = blob(), of_bytes(b"{}", "application/json", "its configuration")
    body = stores.encode(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": stores.descriptor_fields(config.media_type, config.digest, config.size),
            "layers": [stores.descriptor_fields(layer.media_type, layer.digest, layer.size)],
        }
    )
    return Raw(OCI_MANIFEST, body, digest_of([body])), config


def archive(path: str, file_format: str) -> None:
    manifest, config = artifact()
    with ctf.written(path, file_format) as target:
        target.put("repository", "1", manifest, [blob(), config])


class Holder:
    """Has the parts of the artifact."""

    def manifest(self, _repository: str, _reference: str) -> Raw:
        return artifact()[0]

    def blob(self, _repository: str, wanted: Descriptor, _what: str) -> Blob:
        return blob() if wanted.digest == digest_of([DATA]) else artifact()[1]


def layout(path: str) -> None:
    manifest = artifact()[0]
    main = Descriptor(manifest.media_type, manifest.digest, len(manifest.body))
    artifact_sets.write_layout(Holder(), "repository", main, path, "it")


class Repository:
    """A registry's, in which the blob is."""

    offset = 0
    chunks = PIECES

    def tries(self) -> None:
        return None

    @contextmanager
    def open_blob(self, *_: object, **__: object) -> Iterator["Repository"]:
        yield self


def download(path: str) -> None:
    repository: Any = Repository()
    download_blob(repository, digest_of(PIECES), len(DATA), path)


WRITERS = {
    "write_whole": Writer(lambda path: files.write_whole(path, DATA), is_data),
    "write_whole, not synced": Writer(lambda path: files.write_whole(path, DATA, durable=False), is_data),
    "whole": Writer(whole, is_data),
    "a named file": Writer(lambda path: named(path, durable=True), is_data),
    "a named file, not synced": Writer(lambda path: named(path, durable=False), is_data),
    "a blob of a layout": Writer(
        lambda path: image_blobs.write(PIECES, path, digest_of(PIECES), "it"), is_data
    ),
    "a blob of a registry": Writer(download, is_data, replaces=False),
    "a resource": Writer(lambda path: resources.write(blob(), path), is_data),
    "an output of a package": Writer(
        lambda path: write_outputs(Outputs({os.path.basename(path): DATA}), os.path.dirname(path)),
        is_data,
    ),
    "an output of an executor": Writer(lambda path: executor._write(path, DATA), is_data),
    "an archive, directory": Writer(lambda path: archive(path, "directory"), is_archive, replaces=False),
    "an archive, tar": Writer(lambda path: archive(path, "tar"), is_archive, replaces=False),
    "an archive, tgz": Writer(lambda path: archive(path, "tgz"), is_archive, replaces=False),
    "an OCI layout": Writer(layout, is_layout, replaces=False),
}


@pytest.fixture(scope="module")
def disk(accounts: dict[str, Account]) -> Iterator[Disk]:
    with work_directory() as directory:
        made = Disk(os.path.join(directory, "disk"), accounts["root"], "2m")
        yield made
        made.unmount()


def refused(work: Callable[[str], object], path: str) -> bool:
    try:
        work(path)
    except (ShimError, OSError):
        return True
    return False


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("before", [None, OLD], ids=["new", "replacing"])
def test_what_is_written_while_the_disk_fills_is_whole_or_not_there(
    disk: Disk, writer: Writer, before: bytes | None
) -> None:
    outcomes = set[bool]()
    for room in ROOMS if writer.replaces or before is None else ():
        place = Path(disk.place, "it")
        place.mkdir()
        path = place / "file"
        if before is not None:
            path.write_bytes(before)
        disk.fill(leave=room * PAGE)
        failed = refused(writer.write, str(path))
        outcomes.add(failed)
        if not failed:
            disk.relieve()
            assert writer.there(str(path)), f"{room} pages"
        elif before is None:
            assert list(place.iterdir()) == [], f"{room} pages"
        else:
            assert list(place.iterdir()) == [path], f"{room} pages"
            assert path.read_bytes() == before, f"{room} pages"
        disk.clear()
    assert outcomes in ({True, False}, set())


def test_an_archive_that_is_there_is_as_it_was_where_the_disk_fills_and_mended_with_more_room(
    disk: Disk,
) -> None:
    place = os.path.join(disk.place, "archive")
    for room in ROOMS:
        with ctf.written(place, "directory") as target:
            target.put("repository", "0", artifact()[0], [artifact()[1]])
        before = sorted(os.listdir(place)), Path(place, ctf.INDEX).read_bytes()
        disk.fill(leave=room * PAGE)
        failed = refused(lambda path: archive(path, "directory"), place)
        assert not failed or (sorted(os.listdir(place)), Path(place, ctf.INDEX).read_bytes()) == before
        disk.relieve()
        archive(place, "directory")
        assert is_archive(place)
        disk.clear()


def test_a_blob_has_its_name_only_once_it_is_whole(tmp_path: Path) -> None:
    # Whoever interrupts a download takes over the blobs that are there.
    path, seen = tmp_path / "blob", list[bool]()

    def pieces() -> Iterator[bytes]:
        for piece in PIECES:
            yield piece
            seen.append(path.exists())

    repository: Any = Repository()
    repository.chunks = pieces()
    download_blob(repository, digest_of(PIECES), len(DATA), str(path))
    assert is_data(str(path))
    path.unlink()
    image_blobs.write(pieces(), str(path), digest_of(PIECES), "it")
    assert is_data(str(path))
    assert seen == [False] * 2 * len(PIECES)


@pytest.mark.parametrize(
    "damage", [b"", DATA[:-1], bytes(len(DATA))], ids=["empty", "short", "without content"]
)
def test_a_blob_that_is_not_whole_is_written_again(tmp_path: Path, damage: bytes) -> None:
    place = str(tmp_path / "archive")
    archive(place, "directory")
    (tmp_path / "archive" / ctf.blob_name(digest_of([DATA]))).write_bytes(damage)
    archive(place, "directory")
    assert is_archive(place)


def test_an_archive_that_others_may_read_stays_so(tmp_path: Path) -> None:
    place = tmp_path / "archive"
    for tag in ("1", "2"):
        with ctf.written(str(place)) as target:
            target.put("repository", tag, artifact()[0], [artifact()[1]])
        assert {path.stat().st_mode & 0o777 for path in place.rglob("*") if path.is_file()} == {0o644}


# What fails when a file is closed, as on NFS.


def close(file: Any) -> None:
    """Have the file's own close fail."""
    file.flush()
    os.close(file.fileno())


def test_a_file_whose_close_fails_is_not_there(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    for writing in (files.whole(path), named_files.writing(path, durable=False)):
        with ExitStack() as stack:
            stack.enter_context(pytest.raises(OSError, match=os.strerror(errno.EBADF)))
            file = stack.enter_context(writing)
            file.write(DATA)
            close(file)
    assert list(tmp_path.iterdir()) == []


def test_a_record_whose_close_fails_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.close

    def refuse(fd: int) -> None:
        real(fd)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "file"
    path.write_bytes(OLD)
    monkeypatch.setattr(os, "close", refuse)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        files.write_whole(str(path), DATA, durable=False)
    monkeypatch.undo()
    assert (list(tmp_path.iterdir()), path.read_bytes()) == ([path], OLD)
