"""Artifact sets: one OCI artifact, with all that it is made of, as a local blob.

A tar, mostly compressed, of an index (`index.json`, or `artifact-descriptor.json` in older ones) and of the blobs,
as `blobs/sha256.HEX` or, as OCI image layouts have it, `blobs/sha256/HEX`. Source: OCM specification,
doc/04-extensions/common/formatspec.md, "Artifact Set Archive Format".
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from tweed_shim import documents, files, named_files
from tweed_shim.errors import ComponentError
from tweed_shim.image import layout
from tweed_shim.image.blobs import Job, Progress, write
from tweed_shim.image.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    INDEXES,
    MANIFESTS,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Raw,
)
from tweed_shim.image.members import Members
from tweed_shim.ocm import archives, blobs, ctf, stores, tars
from tweed_shim.ocm.blobs import Blob, Spooled
from tweed_shim.ocm.stores import Artifact

INDEX = "index.json"
INDEX_NAMES = (INDEX, "artifact-descriptor.json", "artifact-set-descriptor.json")
LAYOUT = "oci-layout"
# To the byte what the reference writes.
LAYOUT_VERSION = b'{\n    "imageLayoutVersion": "1.0.0"\n}\n'
MAIN_NOTE = "software.ocm/main"
TAGS_NOTE = "software.ocm/tags"
NAME_NOTE = "org.opencontainers.image.ref.name"

ARCHIVED = "+tar+gzip"
MOST_DEPTH = 4
_KINDS = {each.removesuffix("+json") for each in (OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST)}
_FORMS = ("", "+gzip", ".gzip")


class Holder(Protocol):
    """What has the parts of an artifact: a store, or an artifact set."""

    def manifest(self, repository: str, reference: str, /) -> Raw | None:
        """See stores.Store."""
        ...

    def blob(self, repository: str, /, blob: Descriptor, what: str) -> Blob:
        """See stores.Store."""
        ...


def is_artifact_set(media_type: str) -> bool:
    """Whether a local blob of this media type is an artifact set."""
    kind, archived, form = media_type.partition("+tar")
    return bool(archived) and kind in _KINDS and form in _FORMS


class ArtifactSet:
    """An artifact set that is open; `main` is the artifact that it is there for."""

    def __init__(self, members: Members, what: str) -> None:
        """Raises ComponentError where it is none, or does not tell what it is there for."""
        self.what = what
        self._members = members
        self.main = _main(_read_index(members, what), what)
        self._name = ctf.blob_name if _has(members, ctf.blob_name(self.main.digest)) else layout.blob_name

    def manifest(self, _repository: str, digest: str) -> Raw:
        """See Holder."""
        blob = self._member(digest, "", f"the manifest {digest}")
        return Raw("", blob.read(), digest)

    def blob(self, _repository: str, blob: Descriptor, what: str) -> Blob:
        """See Holder."""
        return self._member(blob.digest, blob.media_type, what)

    def _member(self, digest: str, media_type: str, what: str) -> Blob:
        return blobs.of_member(self._members, self._name(digest), digest, media_type, what)


@contextmanager
def opened(blob: Blob) -> Iterator[ArtifactSet]:
    """An artifact set, for the length of a block. The digests of its parts are verified, not its own."""
    with blob.opened() as content, archives.opened_content(content, blob.what) as members:
        yield ArtifactSet(members, blob.what)


def _has(members: Members, name: str) -> bool:
    try:
        with members.opened(name):
            return True
    except KeyError:
        return False


def _read_index(members: Members, what: str) -> Artifact:
    for name in INDEX_NAMES:
        body = archives.read(members, name)
        if body is not None:
            named = f"{name} of {what}"
            value = documents.load(body, name=named, error=ComponentError, json_only=True).value
            return stores.parse_value(value, named)
    raise ComponentError(f"{what} is no artifact set: it has no {INDEX}; have it made again")


def _main(index: Artifact, what: str) -> Descriptor:
    by_digest = {part.descriptor.digest: part.descriptor for part in index.parts}
    named = index.annotations.get(MAIN_NOTE)
    if named is None and len(by_digest) == 1:
        return next(iter(by_digest.values()))
    if named not in by_digest:
        raise ComponentError(
            f"{what} holds {len(by_digest)} artifacts and does not tell which one counts: have it made again"
        )
    return by_digest[named]


def reachable(
    holder: Holder, repository: str, root: Descriptor, what: str, depth: int = 0
) -> Iterator[tuple[Descriptor, Raw | None]]:
    """All that an artifact is made of, itself last: manifests and indexes as they are, other blobs by name.

    Raises ComponentError where a manifest is missing or damaged, or where indexes hold each other.
    """
    raw = holder.manifest(repository, root.digest)
    if raw is None:
        raise ComponentError(f"{what} lacks the manifest {root.digest}: transfer it again")
    if depth > MOST_DEPTH:
        raise ComponentError(f"{what} has indexes in indexes without end: have it made again")
    artifact = stores.parse(raw, f"the manifest {root.digest} of {what}")
    if artifact.config is not None:
        yield artifact.config, None
    for part in artifact.parts:
        if artifact.is_index:
            yield from reachable(holder, repository, part.descriptor, what, depth + 1)
        else:
            yield part.descriptor, None
    yield Descriptor(_type_of(root, raw, artifact), root.digest, len(raw.body)), raw


def _type_of(root: Descriptor, raw: Raw, artifact: Artifact) -> str:
    told = (artifact.media_type, root.media_type, raw.media_type)
    usual = OCI_INDEX if artifact.is_index else OCI_MANIFEST
    return next((each for each in told if each in MANIFESTS | INDEXES), usual)


def collected(holder: Holder, repository: str, digest: str, what: str, tag: str = "") -> Blob:
    """An artifact as an artifact set: gzipped, with the same bytes for the same artifact. Raises ComponentError."""
    root = Descriptor("", digest, 0)
    found = dict(reachable(holder, repository, root, what))
    members = {each.digest: _blob(holder, repository, each, raw, what) for each, raw in found.items()}
    main = next(each for each in reversed(found) if each.digest == digest)
    content = [
        _file(INDEX, blobs.of_bytes(_index(found, digest, tag), "", INDEX)),
        _file(LAYOUT, blobs.of_bytes(LAYOUT_VERSION, "", LAYOUT)),
        tars.Member(ctf.BLOBS),
        *(_file(ctf.blob_name(each), members[each]) for each in sorted(members)),
    ]
    packed = Spooled(tars.compressed(tars.archive(content)))
    return packed.blob(main.media_type.removesuffix("+json") + ARCHIVED, what)


def _blob(holder: Holder, repository: str, each: Descriptor, raw: Raw | None, what: str) -> Blob:
    if raw is not None:
        return blobs.of_bytes(raw.body, each.media_type, f"the manifest {each.digest} of {what}")
    return holder.blob(repository, each, f"the blob {each.digest} of {what}")


def _file(name: str, blob: Blob) -> tars.Member:
    return tars.Member(name, blob.size, blob.pieces)


def _index(found: dict[Descriptor, Raw | None], main: str, tag: str) -> bytes:
    entries = [
        _entry(each, tag if each.digest == main else "") for each, raw in found.items() if raw is not None
    ]
    index = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": entries,
        "annotations": {MAIN_NOTE: main},
    }
    return stores.encode(index)


def _entry(each: Descriptor, tag: str) -> dict[str, Any]:
    fields = stores.descriptor_fields(each.media_type, each.digest, each.size)
    if tag:
        fields["annotations"] = {NAME_NOTE: tag, TAGS_NOTE: tag}
    return fields


def write_layout(holder: Holder, repository: str, main: Descriptor, directory: str, what: str) -> None:
    """Make an OCI image layout (image-spec image-layout.md) of an artifact, whole or not at all.

    directory: a new one. Raises ComponentError for what is missing or damaged, HostError where it cannot be written.
    """
    with ctf.faults(directory), named_files.resolved(directory) as target:
        beside = files.beside(target.path)
        try:
            _fill_layout(holder, repository, main, beside, what)
            os.rename(beside, target.path)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise


def _fill_layout(holder: Holder, repository: str, main: Descriptor, directory: str, what: str) -> None:
    place = layout.Layout(directory, durable=False)
    place.create()
    root = main
    for each, raw in reachable(holder, repository, main, what):
        path = place.blob_path(each.digest)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if not os.path.exists(path):
            with open(path, "xb") as file:
                file.writelines(_blob(holder, repository, each, raw, what).pieces())
        root = each
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [_entry(root, "")]}
    with open(os.path.join(directory, INDEX), "wb") as file:
        file.write(stores.encode(index))


class Source:
    """An artifact that is held somewhere, as something to pull an image from; see image.fetch.Source."""

    def __init__(self, holder: Holder, repository: str, main: Descriptor, what: str) -> None:
        self._holder = holder
        self._repository = repository
        self._main = main
        self._what = what

    def resolve(self) -> Raw:
        """See fetch.Source."""
        return self.manifest(self._main.digest)

    def manifest(self, digest: str) -> Raw:
        """See fetch.Source."""
        found = self._holder.manifest(self._repository, digest)
        if found is None:
            raise ComponentError(f"{self._what} lacks the manifest {digest}: transfer it again")
        return found

    def fetch(self, jobs: Sequence[Job], progress: Progress) -> None:
        """See fetch.Source."""
        for job in jobs:
            what = f"the blob {job.blob.digest} of {self._what}"
            blob = self._holder.blob(self._repository, job.blob, what)
            write(blob.pieces(), job.path, job.blob.digest, what, progress)
