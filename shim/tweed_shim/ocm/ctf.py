"""Archives in the Common Transport Format, version 1: OCI artifacts as files.

    artifact-index.json     which tags of which repositories stand for which digests
    blobs/sha256.HEX        manifests and blobs alike

as a directory, a tar, or a gzipped tar. Source: OCM specification, doc/04-extensions/common/formatspec.md. Older
archives call the index artifact-descriptor.json.
"""

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain
from typing import Any

from tweed_shim import documents, files, named_files
from tweed_shim.errors import ComponentError, HostError
from tweed_shim.image import compression
from tweed_shim.image.manifest import Descriptor, Raw
from tweed_shim.image.members import Directory, Members
from tweed_shim.ocm import archives, blobs, stores, tars
from tweed_shim.ocm.blobs import Blob

INDEX = "artifact-index.json"
INDEXES = (INDEX, "artifact-descriptor.json")
BLOBS = "blobs"
FORMATS = ("directory", "tar", "tgz")
# A tgz that is only wrapped, for who reads it once and right away: most blobs are compressed anyway.
STORED_TGZ = "stored-tgz"
SCHEMA_VERSION = 1

Entry = dict[str, Any]


class Ctf:
    """An archive that is open; see stores.Store. What is put into it is there for others when it is closed."""

    def __init__(self, what: str, members: Members | None) -> None:
        """members: None for a new archive. Raises ComponentError where it is no archive of this format."""
        self.what = what
        self.changed = False
        self.added: dict[str, Blob] = {}
        self._members = members
        # By their repositories: an index may name very many, and is asked about each of them.
        self._entries: dict[str, list[Entry]] = {}
        for entry in [] if members is None else _read_index(members):
            self._entries.setdefault(entry["repository"], []).append(entry)

    def repositories(self) -> list[str]:
        """See Store."""
        return sorted(self._entries)

    def tags(self, repository: str) -> list[str]:
        """See Store."""
        tags = (entry.get("tag") for entry in self._entries.get(repository, ()))
        return sorted(tag for tag in tags if tag)

    def manifest(self, repository: str, reference: str) -> Raw | None:
        """See Store."""
        named = (each for each in self._entries.get(repository, ()) if _stands_for(each, reference))
        entry = next(named, None)
        if entry is None:
            return None
        digest = entry["digest"]
        blob = self.added.get(digest)
        body = self._read(digest, f"{repository}:{reference}") if blob is None else blob.read()
        return Raw(entry.get("mediaType") or "", body, digest)

    def blob(self, _repository: str, blob: Descriptor, what: str) -> Blob:
        """See Store."""
        if blob.digest in self.added:
            return self.added[blob.digest]
        found = self._member(blob.digest, blob.media_type, what)
        if found.size != blob.size:
            raise ComponentError(
                f"{found.what} is damaged: it has {found.size} bytes instead of {blob.size}; transfer it again"
            )
        return found

    def put(self, repository: str, tag: str, manifest: Raw, blobs: Sequence[Blob]) -> None:
        """See Store."""
        made = _of_raw(manifest)
        for blob in (*blobs, made):
            self.added.setdefault(blob.digest, blob)
        entry = {
            "repository": repository,
            "tag": tag,
            "digest": manifest.digest,
            "mediaType": manifest.media_type,
        }
        others = [each for each in self._entries.get(repository, ()) if not _stands_for(each, tag)]
        self._entries[repository] = [*others, entry]
        self.changed = True

    def index(self) -> bytes:
        """Return the index as it is written."""
        entries = sorted(chain.from_iterable(self._entries.values()), key=_order)
        return stores.encode({"schemaVersion": SCHEMA_VERSION, "artifacts": entries})

    def _read(self, digest: str, what: str) -> bytes:
        return self._member(digest, "", f"the manifest of {what}").read()

    def _member(self, digest: str, media_type: str, what: str) -> Blob:
        if self._members is None:
            raise ComponentError(f"{self.what} lacks {what} ({digest}): transfer it again")
        return blobs.of_member(self._members, blob_name(digest), digest, media_type, what)


def blob_name(digest: str) -> str:
    """Where an archive keeps a blob."""
    return f"{BLOBS}/{_file_name(digest)}"


def _file_name(digest: str) -> str:
    return digest.replace(":", ".")


def _of_raw(manifest: Raw) -> Blob:
    return blobs.of_bytes(manifest.body, manifest.media_type, f"the manifest {manifest.digest}")


def _stands_for(entry: Entry, reference: str) -> bool:
    """Whether an entry of a repository has a tag, or a digest."""
    named = entry["digest"] if ":" in reference else entry.get("tag")
    return bool(named == reference)


def _order(entry: Entry) -> tuple[str, str]:
    return entry["repository"], entry.get("tag") or f"@{entry['digest']}"


def _read_index(members: Members) -> list[Entry]:
    for name in INDEXES:
        body = archives.read(members, name)
        if body is not None:
            return _parse_index(body, f"{name} of {members.what}")
    raise ComponentError(f"{members.what} is no Common Transport Format archive: it has no {INDEX}")


def _parse_index(body: bytes, what: str) -> list[Entry]:
    value = documents.load(body, name=what, error=ComponentError, json_only=True).value
    fields = stores.table(value, what)
    if fields.get("schemaVersion") != SCHEMA_VERSION:
        raise ComponentError(
            f"{what} has a schemaVersion other than {SCHEMA_VERSION}, which is the only one that is known: "
            "write it with another release of its tool"
        )
    entries = fields.get("artifacts") or []
    if not isinstance(entries, list):
        raise ComponentError(f"{what} is malformed: its artifacts are no list; have it made again")
    return [_parse_entry(entry, f"artifacts[{number}] of {what}") for number, entry in enumerate(entries)]


def _parse_entry(value: Any, what: str) -> Entry:
    fields = stores.table(value, what)
    stores.digest(fields, what)
    stores.text(fields, "tag", what)
    stores.text(fields, "mediaType", what)
    if not stores.text(fields, "repository", what):
        raise ComponentError(f"{what} is malformed: it names no repository; have it made again")
    return dict(fields)


@contextmanager
def written(
    path: str, file_format: str | None = None, waiting: Callable[[], None] = lambda: None
) -> Iterator[Ctf]:
    """An archive to write, an existing or a new one, for the length of a block.

    All that was put into it is there after the block, and nothing of it where the block fails. file_format: one
    of FORMATS, or STORED_TGZ; by default an existing archive's, and for a new one `directory`. waiting: called once
    where another process writes into it. Raises ComponentError where there is something else, and HostError where it
    cannot be written.
    """
    with faults(path), ExitStack() as stack:
        with suppress(FileNotFoundError), named_files.resolved(path):
            pass  # what may not be written is refused before anything is fetched
        members = None
        there = _format_of(path)
        if there is not None:
            if there == "directory":
                stack.enter_context(files.held_directory(path, shared=False, waiting=waiting))
            members = stack.enter_context(archives.opened(path))
            if file_format not in (None, there):
                raise ComponentError(
                    f"{path} is there already, as a {there} and not a {file_format}: name another"
                )
        target = Ctf(path, members)
        yield target
        if target.changed:
            _WRITERS[there or file_format or "directory"](target, path, members)


def _format_of(path: str) -> str | None:
    """The format of what is there; None where nothing is. Does not wait for a pipe."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            return "directory" if os.listdir(fd) else None
        return "tar" if compression.detect(os.read(fd, compression.HEAD)) == "none" else "tgz"
    finally:
        os.close(fd)


@contextmanager
def faults(path: str) -> Iterator[None]:
    """Turn what the disk refuses within a block into a HostError that names the path."""
    try:
        yield
    except OSError as error:
        raise HostError(
            f"{path} cannot be written ({error.strerror or error}): make room, or write elsewhere"
        ) from None


def _write_directory(target: Ctf, path: str, members: Members | None) -> None:
    """Write blobs first and the index last: what an index names is there."""
    with named_files.resolved(path, make_parents=0o777) as place:
        if members is not None:
            _add_files(target, place.path, path)
            with files.whole(os.path.join(place.path, INDEX), mode=0o666) as file:
                file.write(target.index())
            return
        beside = files.beside(place.path)
        try:
            os.makedirs(os.path.join(beside, BLOBS))
            _add_files(target, beside, path)
            with open(os.path.join(beside, INDEX), "xb") as file:
                file.write(target.index())
            os.rename(beside, place.path)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise


def _add_files(target: Ctf, directory: str, what: str) -> None:
    # An archive that is there may be a stranger's, whose blobs are a link, or become one at any time.
    with Directory(directory, ComponentError, what=what).entered(BLOBS) as blobs_fd:
        for digest, blob in target.added.items():
            name = _file_name(digest)
            if not _is_whole(name, blobs_fd, blob):
                with files.whole(name, mode=0o666, directory=blobs_fd) as file:
                    file.writelines(blob.pieces())


def _is_whole(name: str, directory: int, blob: Blob) -> bool:
    """Say whether a file in an open directory is the blob: a power cut leaves files of the right size without content.

    A link counts as none, and is replaced by a file.
    """
    try:
        # Opening a pipe that nobody writes to would wait for ever.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(name, flags, dir_fd=directory)
    except OSError:
        return False
    with open(fd, "rb") as file:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode) or about.st_size != blob.size:
            return False
        algorithm, _, value = blob.digest.partition(":")
        return hashlib.file_digest(file, algorithm).hexdigest() == value


def _write_tar(target: Ctf, path: str, members: Members | None) -> None:
    with named_files.writing(path, durable=False) as file:
        file.writelines(tars.archive(_members(target, members)))


def _write_tgz(target: Ctf, path: str, members: Members | None, level: int = tars.GZIP_LEVEL) -> None:
    with named_files.writing(path, durable=False) as file:
        file.writelines(tars.compressed(tars.archive(_members(target, members)), level))


def _write_stored_tgz(target: Ctf, path: str, members: Members | None) -> None:
    _write_tgz(target, path, members, 0)


def _members(target: Ctf, members: Members | None) -> Iterator[tars.Member]:
    """What the archive then holds: the index first, and the blobs by name."""
    kept = {} if members is None else {blob.digest: blob for blob in _kept(members)}
    found = {**kept, **target.added}
    yield _file(INDEX, blobs.of_bytes(target.index(), "", INDEX))
    yield tars.Member(BLOBS)
    for digest in sorted(found):
        yield _file(blob_name(digest), found[digest])


def _file(name: str, blob: Blob) -> tars.Member:
    return tars.Member(name, blob.size, blob.pieces)


def _kept(members: Members) -> Iterable[Blob]:
    for name in archives.names(members, f"{BLOBS}/"):
        digest = name.removeprefix(f"{BLOBS}/").replace(".", ":", 1)
        if stores.DIGEST.fullmatch(digest):
            yield blobs.of_member(members, name, digest, "", f"the blob {digest}")


_WRITERS: dict[str, Callable[[Ctf, str, Members | None], None]] = {
    "directory": _write_directory,
    "tar": _write_tar,
    "tgz": _write_tgz,
    STORED_TGZ: _write_stored_tgz,
}
