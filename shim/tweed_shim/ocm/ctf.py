"""Archives in the Common Transport Format, version 1: OCI artifacts as files.

    artifact-index.json     repositories, their tags, and the digest of each tag
    blobs/sha256.HEX        manifests and other blobs

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

from tweed_shim.base import files, named_files
from tweed_shim.data import documents
from tweed_shim.errors import ComponentError
from tweed_shim.image import compression
from tweed_shim.image.archive_reader import Directory, Members
from tweed_shim.image.manifest import Descriptor, RawManifest
from tweed_shim.ocm import archive_files, artifacts, blob_access, json_writer, tar_writer
from tweed_shim.ocm.blob_access import Blob
from tweed_shim.ocm.output_files import explained_faults

INDEX = "artifact-index.json"
INDEXES = (INDEX, "artifact-descriptor.json")
BLOBS = "blobs"
FORMATS = ("directory", "tar", "tgz")
# A tgz with compression level 0, for an archive that is read once and at once: most blobs are compressed already.
STORED_TGZ = "stored-tgz"
SCHEMA_VERSION = 1

Entry = dict[str, Any]


class Ctf:
    """An open archive, which is an ArtifactStore. What is put into it is written when it is closed."""

    def __init__(self, what: str, members: Members | None) -> None:
        """Read the index. members: None for a new archive. Raises ComponentError where there is no index."""
        self.what = what
        self.changed = False
        self.added: dict[str, Blob] = {}
        self._members = members
        # By repository: an index may have very many, and a linear search for each would take quadratic time.
        self._entries: dict[str, list[Entry]] = {}
        for entry in [] if members is None else _read_index(members):
            self._entries.setdefault(entry["repository"], []).append(entry)

    def repositories(self) -> list[str]:
        """See ArtifactStore."""
        return sorted(self._entries)

    def tags(self, repository: str) -> list[str]:
        """See ArtifactStore."""
        tags = (entry.get("tag") for entry in self._entries.get(repository, ()))
        return sorted(tag for tag in tags if tag)

    def manifest(self, repository: str, reference: str) -> RawManifest | None:
        """See ArtifactStore."""
        named = (each for each in self._entries.get(repository, ()) if _is_named(each, reference))
        entry = next(named, None)
        if entry is None:
            return None
        digest = entry["digest"]
        blob = self.added.get(digest)
        body = self._read(digest, f"{repository}:{reference}") if blob is None else blob.read()
        return RawManifest(entry.get("mediaType") or "", body, digest)

    def blob(self, _repository: str, blob: Descriptor, what: str) -> Blob:
        """See ArtifactStore."""
        if blob.digest in self.added:
            return self.added[blob.digest]
        stored = self._member(blob.digest, blob.media_type, what)
        if stored.size != blob.size:
            raise ComponentError(
                f"{stored.what} is damaged: it has {stored.size} bytes instead of {blob.size}; transfer it again"
            )
        return stored

    def put(self, repository: str, tag: str, manifest: RawManifest, *, blobs: Sequence[Blob]) -> None:
        """See ArtifactStore."""
        manifest_blob = _of_raw(manifest)
        for blob in (*blobs, manifest_blob):
            self.added.setdefault(blob.digest, blob)
        entry = {
            "repository": repository,
            "tag": tag,
            "digest": manifest.digest,
            "mediaType": manifest.media_type,
        }
        others = [each for each in self._entries.get(repository, ()) if not _is_named(each, tag)]
        self._entries[repository] = [*others, entry]
        self.changed = True

    def index(self) -> bytes:
        """Return the index in the form in which it is written."""
        entries = sorted(chain.from_iterable(self._entries.values()), key=_order)
        return json_writer.dump({"schemaVersion": SCHEMA_VERSION, "artifacts": entries}).encode()

    def _read(self, digest: str, what: str) -> bytes:
        return self._member(digest, "", f"the manifest of {what}").read()

    def _member(self, digest: str, media_type: str, what: str) -> Blob:
        if self._members is None:
            raise ComponentError(f"{self.what} lacks {what} ({digest}); transfer it again")
        return blob_access.from_member(
            self._members, blob_name(digest), digest=digest, media_type=media_type, what=what
        )


def blob_name(digest: str) -> str:
    """Return the name of a blob in an archive."""
    return f"{BLOBS}/{_file_name(digest)}"


def _file_name(digest: str) -> str:
    return digest.replace(":", ".")


def _of_raw(manifest: RawManifest) -> Blob:
    return blob_access.from_bytes(manifest.body, manifest.media_type, f"the manifest {manifest.digest}")


def _is_named(entry: Entry, reference: str) -> bool:
    """Whether an entry of a repository has a tag or a digest."""
    named = entry["digest"] if ":" in reference else entry.get("tag")
    return bool(named == reference)


def _order(entry: Entry) -> tuple[str, str]:
    return entry["repository"], entry.get("tag") or f"@{entry['digest']}"


def _read_index(members: Members) -> list[Entry]:
    for name in INDEXES:
        body = archive_files.read_small(members, name)
        if body is not None:
            return _parse_index(body, f"{name} of {members.what}")
    raise ComponentError(
        f"{members.what} is no Common Transport Format archive: it has no {INDEX}; name another path"
    )


def _parse_index(body: bytes, what: str) -> list[Entry]:
    value = documents.load(body, name=what, error=ComponentError, json_only=True).value
    fields = artifacts.json_object(value, what)
    if fields.get("schemaVersion") != SCHEMA_VERSION:
        raise ComponentError(
            f"{what} has a schemaVersion other than {SCHEMA_VERSION}, the only supported one; "
            "write it with another release of its tool"
        )
    entries = fields.get("artifacts") or []
    if not isinstance(entries, list):
        raise ComponentError(f"{what} is malformed: its artifacts must be a list; build it again")
    return [_parse_entry(entry, f"artifacts[{number}] of {what}") for number, entry in enumerate(entries)]


def _parse_entry(value: Any, what: str) -> Entry:
    fields = artifacts.json_object(value, what)
    artifacts.digest_field(fields, what)
    artifacts.text_field(fields, "tag", what)
    artifacts.text_field(fields, "mediaType", what)
    if not artifacts.text_field(fields, "repository", what):
        raise ComponentError(f"{what} is malformed: it names no repository; build it again")
    return dict(fields)


@contextmanager
def open_for_writing(
    path: str, file_format: str | None = None, *, waiting: Callable[[], None] = lambda: None
) -> Iterator[Ctf]:
    """Open an existing or a new archive for writing, for the length of a block.

    After the block the archive has everything that was put into it; nothing of it where the block fails. file_format:
    one of FORMATS, or STORED_TGZ; by default that of an existing archive, and `directory` for a new one. waiting:
    called once where another process writes to the archive. Raises ComponentError where the path is something else,
    and HostError where it cannot be written.
    """
    with explained_faults(path), ExitStack() as stack:
        with suppress(FileNotFoundError), named_files.resolved(path):
            pass  # a path that must not be written is refused before anything is fetched
        members = None
        existing = _format_of(path)
        if existing is not None:
            if existing == "directory":
                stack.enter_context(files.held_directory(path, shared=False, waiting=waiting))
            members = stack.enter_context(archive_files.open_archive(path))
            if file_format not in (None, existing):
                raise ComponentError(
                    f"{path} exists as a {existing}, not as a {file_format}; name another path"
                )
        target = Ctf(path, members)
        yield target
        if target.changed:
            _WRITERS[existing or file_format or "directory"](target, path, members)


def _format_of(path: str) -> str | None:
    """Return the format of an existing archive, None where there is none. Does not block on a named pipe."""
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


def _write_directory(target: Ctf, path: str, members: Members | None) -> None:
    """Write the blobs first and the index last: an index never names a missing blob."""
    with named_files.resolved(path, make_parents=0o777) as target_path:
        if members is not None:
            _add_files(target, target_path.path, path)
            with files.whole(os.path.join(target_path.path, INDEX), mode=0o666) as file:
                file.write(target.index())
            return
        beside = files.beside(target_path.path)
        try:
            os.makedirs(os.path.join(beside, BLOBS))
            _add_files(target, beside, path)
            with open(os.path.join(beside, INDEX), "xb") as file:
                file.write(target.index())
            os.rename(beside, target_path.path)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise


def _add_files(target: Ctf, directory: str, what: str) -> None:
    # A stranger may have made the archive, with a link in place of blobs/, or may put one there at any time.
    with Directory(directory, ComponentError, what=what).entered(BLOBS) as blobs_fd:
        for digest, blob in target.added.items():
            name = _file_name(digest)
            if not _is_whole(name, blobs_fd, blob):
                with files.whole(name, mode=0o666, directory=blobs_fd) as file:
                    file.writelines(blob.pieces())


def _is_whole(name: str, directory: int, blob: Blob) -> bool:
    """Whether a file in an open directory is the blob: a power cut leaves files of the right size without content.

    A link counts as none, and is replaced by a file.
    """
    try:
        # Without O_NONBLOCK, opening a named pipe without a writer blocks.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(name, flags, dir_fd=directory)
    except OSError:
        return False
    with open(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size != blob.size:
            return False
        algorithm, _, value = blob.digest.partition(":")
        return hashlib.file_digest(file, algorithm).hexdigest() == value


def _write_tar(target: Ctf, path: str, members: Members | None) -> None:
    with named_files.writing(path, durable=False) as file:
        file.writelines(tar_writer.archive_pieces(_members(target, members)))


def _write_tgz(
    target: Ctf, path: str, members: Members | None, *, level: int = tar_writer.GZIP_LEVEL
) -> None:
    with named_files.writing(path, durable=False) as file:
        file.writelines(tar_writer.gzip_pieces(tar_writer.archive_pieces(_members(target, members)), level))


def _write_stored_tgz(target: Ctf, path: str, members: Members | None) -> None:
    _write_tgz(target, path, members, level=0)


def _members(target: Ctf, members: Members | None) -> Iterator[tar_writer.TarMember]:
    """Yield the members of the new archive: the index first, then the blobs by name."""
    stored = {} if members is None else {blob.digest: blob for blob in _stored(members)}
    written = {**stored, **target.added}
    yield tar_writer.member(INDEX, blob_access.from_bytes(target.index(), "", INDEX))
    yield tar_writer.TarMember(BLOBS)
    for digest in sorted(written):
        yield tar_writer.member(blob_name(digest), written[digest])


def _stored(members: Members) -> Iterable[Blob]:
    for name in archive_files.list_names(members, f"{BLOBS}/"):
        digest = name.removeprefix(f"{BLOBS}/").replace(".", ":", 1)
        if artifacts.DIGEST.fullmatch(digest):
            yield blob_access.from_member(members, name, digest=digest, what=f"the blob {digest}")


_WRITERS: dict[str, Callable[[Ctf, str, Members | None], None]] = {
    "directory": _write_directory,
    "tar": _write_tar,
    "tgz": _write_tgz,
    STORED_TGZ: _write_stored_tgz,
}
