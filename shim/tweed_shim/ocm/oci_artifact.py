"""OCI artifacts of any kind where they are stored: their parts, an image layout of them, and images to pull."""

import os
import shutil
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from tweed_shim.base import files, named_files
from tweed_shim.base.records import Record
from tweed_shim.errors import ComponentError
from tweed_shim.image import layout
from tweed_shim.image.blobs import Job, Progress, write
from tweed_shim.image.manifest import INDEXES, MANIFESTS, OCI_INDEX, OCI_MANIFEST, Descriptor, RawManifest
from tweed_shim.ocm import artifacts, blob_access, json_writer, output_files
from tweed_shim.ocm.artifacts import Artifact
from tweed_shim.ocm.blob_access import Blob

INDEX = "index.json"
NAME_NOTE = "org.opencontainers.image.ref.name"
TAGS_NOTE = "software.ocm/tags"

MOST_DEPTH = 4


class ArtifactReader(Protocol):
    """What the parts of an artifact are read from: an ArtifactStore, or an artifact set."""

    def manifest(self, repository: str, reference: str, /) -> RawManifest | None:
        """See ArtifactStore."""
        ...

    def blob(self, repository: str, /, blob: Descriptor, what: str) -> Blob:
        """See ArtifactStore."""
        ...


class StoredPart(Record):
    """A part of an artifact with its content. is_manifest: it is a manifest or an index."""

    descriptor: Descriptor
    content: Blob
    is_manifest: bool = False


class OciArtifact(Record):
    """An artifact where it is stored.

    repository: the one within the store, empty in an artifact set. what: names the artifact in errors. media_type: as
    the index of an artifact set names it, else empty.
    """

    reader: ArtifactReader
    repository: str
    digest: str
    what: str
    media_type: str = ""

    def manifest(self, digest: str) -> RawManifest:
        """Return one of its manifests and indexes, verified. Raises ComponentError where it is missing."""
        raw = self.reader.manifest(self.repository, digest)
        if raw is None:
            raise ComponentError(f"{self.what} lacks the manifest {digest}; transfer it again")
        return raw

    def blob(self, descriptor: Descriptor) -> Blob:
        """Return one of its configurations and layers."""
        return self.reader.blob(self.repository, descriptor, f"the blob {descriptor.digest} of {self.what}")

    def parts(self) -> Iterator[StoredPart]:
        """Yield all parts, the artifact's own manifest or index last.

        Raises ComponentError where a manifest is missing or damaged, or where indexes nest too deeply.
        """
        return self._parts(Descriptor(self.media_type, self.digest, 0), 0)

    def _parts(self, root: Descriptor, depth: int) -> Iterator[StoredPart]:
        raw = self.manifest(root.digest)
        if depth > MOST_DEPTH:
            raise ComponentError(
                f"{self.what} has indexes nested more than {MOST_DEPTH} levels deep; build it again"
            )
        what = f"the manifest {root.digest} of {self.what}"
        artifact = artifacts.parse_artifact(raw, what)
        if artifact.config is not None:
            yield StoredPart(artifact.config, self.blob(artifact.config))
        for part in artifact.parts:
            if artifact.is_index:
                yield from self._parts(part.descriptor, depth + 1)
            else:
                yield StoredPart(part.descriptor, self.blob(part.descriptor))
        media_type = _media_type(root, raw, artifact)
        descriptor = Descriptor(media_type, root.digest, len(raw.body))
        yield StoredPart(descriptor, blob_access.from_bytes(raw.body, media_type, what), True)


def _media_type(root: Descriptor, raw: RawManifest, artifact: Artifact) -> str:
    """Return the media type of a manifest or an index, as the first of three places says that names a known one."""
    named = (artifact.media_type, root.media_type, raw.media_type)
    default = OCI_INDEX if artifact.is_index else OCI_MANIFEST
    return next((each for each in named if each in MANIFESTS | INDEXES), default)


def index_entry(descriptor: Descriptor, tag: str = "") -> dict[str, Any]:
    """Return an entry of an index; a tag is noted in the ways of OCI and of OCM."""
    fields = artifacts.descriptor_json(descriptor.media_type, descriptor.digest, descriptor.size)
    if tag:
        fields["annotations"] = {NAME_NOTE: tag, TAGS_NOTE: tag}
    return fields


def write_layout(artifact: OciArtifact, directory: str) -> None:
    """Write an OCI image layout (image-spec image-layout.md) to a new directory, complete or not at all.

    Raises ComponentError for missing or damaged content, HostError where the directory cannot be written.
    """
    with output_files.explained_faults(directory), named_files.resolved(directory) as target:
        beside = files.beside(target.path)
        try:
            _fill_layout(artifact, beside)
            os.rename(beside, target.path)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise


def _fill_layout(artifact: OciArtifact, directory: str) -> None:
    target = layout.Layout(directory, durable=False)
    target.create()
    entries = []
    for part in artifact.parts():
        path = target.blob_path(part.descriptor.digest)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if not os.path.exists(path):
            with open(path, "xb") as file:
                file.writelines(part.content.pieces())
        # The artifact itself comes last.
        entries = [index_entry(part.descriptor)]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    with open(os.path.join(directory, INDEX), "wb") as file:
        file.write(json_writer.dump(index).encode())


class ImageSource:
    """An artifact as something to pull an image from; see image.fetch.Source."""

    def __init__(self, artifact: OciArtifact) -> None:
        self._artifact = artifact

    def resolve(self) -> RawManifest:
        """See fetch.Source."""
        return self.manifest(self._artifact.digest)

    def manifest(self, digest: str) -> RawManifest:
        """See fetch.Source."""
        return self._artifact.manifest(digest)

    def fetch(self, jobs: Sequence[Job], progress: Progress) -> None:
        """See fetch.Source."""
        for job in jobs:
            blob = self._artifact.blob(job.blob)
            what = f"the blob {job.blob.digest} of {self._artifact.what}"
            write(blob.pieces(), job.path, job.blob.digest, what=what, progress=progress)
