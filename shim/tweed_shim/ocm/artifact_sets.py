"""Artifact sets: one OCI artifact, with all of its parts, as a local blob.

A tar, usually compressed, of an index (`index.json`, or `artifact-descriptor.json` in older ones) and of the blobs,
as `blobs/sha256.HEX` or, as OCI image layouts have it, `blobs/sha256/HEX`. Source: OCM specification,
doc/04-extensions/common/formatspec.md, "Artifact Set Archive Format".
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tweed_shim.data import documents
from tweed_shim.errors import ComponentError
from tweed_shim.image import layout
from tweed_shim.image.archive_reader import Members
from tweed_shim.image.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    RawManifest,
)
from tweed_shim.ocm import archive_files, artifacts, blob_access, ctf, json_writer, tar_writer
from tweed_shim.ocm.artifacts import Artifact
from tweed_shim.ocm.blob_access import Blob, SpoolFile
from tweed_shim.ocm.oci_artifact import INDEX, OciArtifact, index_entry

INDEX_NAMES = (INDEX, "artifact-descriptor.json", "artifact-set-descriptor.json")
LAYOUT = "oci-layout"
# Byte for byte what the reference implementation writes.
LAYOUT_VERSION = b'{\n    "imageLayoutVersion": "1.0.0"\n}\n'
MAIN_NOTE = "software.ocm/main"

ARCHIVED = "+tar+gzip"
_KINDS = {each.removesuffix("+json") for each in (OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST)}
_FORMS = ("", "+gzip", ".gzip")


def is_artifact_set(media_type: str) -> bool:
    """Whether a local blob of this media type is an artifact set."""
    kind, archived, form = media_type.partition("+tar")
    return bool(archived) and kind in _KINDS and form in _FORMS


class ArtifactSet:
    """An open artifact set, which is an ArtifactReader; `main` is its artifact."""

    def __init__(self, members: Members, what: str) -> None:
        """Read the index. Raises ComponentError where there is none, or where it names no main artifact."""
        self.what = what
        self._members = members
        main = _main(_read_index(members, what), what)
        self.main = OciArtifact(self, "", main.digest, what, main.media_type)
        self._name = ctf.blob_name if _has(members, ctf.blob_name(main.digest)) else layout.blob_name

    def manifest(self, _repository: str, digest: str) -> RawManifest:
        """See ArtifactReader."""
        blob = self._member(digest, "", f"the manifest {digest}")
        return RawManifest("", blob.read(), digest)

    def blob(self, _repository: str, blob: Descriptor, what: str) -> Blob:
        """See ArtifactReader."""
        return self._member(blob.digest, blob.media_type, what)

    def _member(self, digest: str, media_type: str, what: str) -> Blob:
        return blob_access.from_member(
            self._members, self._name(digest), digest=digest, media_type=media_type, what=what
        )


@contextmanager
def open_set(blob: Blob) -> Iterator[ArtifactSet]:
    """Open an artifact set for the length of a block. The digests of its parts are verified, not its own."""
    with blob.opened() as content, archive_files.open_tar_content(content, blob.what) as members:
        yield ArtifactSet(members, blob.what)


def _has(members: Members, name: str) -> bool:
    try:
        with members.opened(name):
            return True
    except KeyError:
        return False


def _read_index(members: Members, what: str) -> Artifact:
    for name in INDEX_NAMES:
        body = archive_files.read_small(members, name)
        if body is not None:
            index_name = f"{name} of {what}"
            value = documents.load(body, name=index_name, error=ComponentError, json_only=True).value
            return artifacts.artifact_of(value, index_name)
    raise ComponentError(f"{what} is no artifact set: it has no {INDEX}; build it again")


def _main(index: Artifact, what: str) -> Descriptor:
    by_digest = {part.descriptor.digest: part.descriptor for part in index.parts}
    main = index.annotations.get(MAIN_NOTE)
    if main is None and len(by_digest) == 1:
        return next(iter(by_digest.values()))
    if main not in by_digest:
        raise ComponentError(
            f"{what} holds {len(by_digest)} artifacts and does not name the main one; build it again"
        )
    return by_digest[main]


def pack(artifact: OciArtifact, tag: str = "") -> Blob:
    """Return an artifact as an artifact set: gzipped, and always the same bytes. Raises ComponentError."""
    parts = {part.descriptor: part for part in artifact.parts()}
    blobs = {descriptor.digest: part.content for descriptor, part in parts.items()}
    main = next(each for each in reversed(parts) if each.digest == artifact.digest)
    manifests = [descriptor for descriptor, part in parts.items() if part.is_manifest]
    index = _index(manifests, artifact.digest, tag)
    content = [
        tar_writer.member(INDEX, blob_access.from_bytes(index, "", INDEX)),
        tar_writer.member(LAYOUT, blob_access.from_bytes(LAYOUT_VERSION, "", LAYOUT)),
        tar_writer.TarMember(ctf.BLOBS),
        *(tar_writer.member(ctf.blob_name(each), blobs[each]) for each in sorted(blobs)),
    ]
    packed = SpoolFile(tar_writer.gzip_pieces(tar_writer.archive_pieces(content)))
    return packed.blob(main.media_type.removesuffix("+json") + ARCHIVED, artifact.what)


def _index(manifests: list[Descriptor], main: str, tag: str) -> bytes:
    index = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [index_entry(each, tag if each.digest == main else "") for each in manifests],
        "annotations": {MAIN_NOTE: main},
    }
    return json_writer.dump(index).encode()
