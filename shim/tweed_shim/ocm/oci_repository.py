"""Component versions as OCI artifacts, in a registry or in an archive.

The version `1.0.0+a` of the component NAME is the tag `1.0.0.build-a` of the repository
PREFIX/component-descriptors/NAME: a manifest whose configuration names the layer that holds the descriptor; the
other layers are the local blobs. Source: OCM specification, doc/04-extensions/03-storage-backends/oci.md.
"""

import hashlib
import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from tweed_shim.base.records import Record, replace
from tweed_shim.data import documents
from tweed_shim.errors import ComponentError
from tweed_shim.image.content import BytesContent, digest_of
from tweed_shim.image.manifest import INDEXES, MANIFESTS, OCI_MANIFEST, Descriptor, RawManifest
from tweed_shim.ocm import (
    archive_files,
    artifact_sets,
    artifacts,
    blob_access,
    descriptor_codec,
    element_identity,
    json_writer,
    tar_writer,
)
from tweed_shim.ocm.access_spec import local_reference
from tweed_shim.ocm.artifact_store import ArtifactStore
from tweed_shim.ocm.artifacts import Artifact
from tweed_shim.ocm.blob_access import Blob, SpoolFile
from tweed_shim.ocm.oci_artifact import OciArtifact
from tweed_shim.ocm.repository import Addition, ComponentVersion

NAMESPACE = "component-descriptors"
DESCRIPTOR_FILE = "component-descriptor.yaml"
BUILD = ".build-"

CONFIG_TYPE = "application/vnd.ocm.software.component.config.v1+json"
CONFIG_TYPES = {
    CONFIG_TYPE,
    "application/vnd.gardener.cloud.cnudie.component.config.v1+json",
    "application/vnd.oci.gardener.cloud.cnudie.component-descriptor-metadata.config.v2+json",
}
TAR_TYPE = "application/vnd.ocm.software.component-descriptor.v2+yaml+tar"
TAR_TYPES = {
    TAR_TYPE,
    "application/vnd.gardener.cloud.cnudie.component-descriptor.v2+yaml+tar",
    "application/vnd.oci.gardener.cloud.cnudie.component-descriptor.config.v2+yaml+tar",
}
PLAIN_TYPES = {
    "application/vnd.ocm.software.component-descriptor.v2+json",
    "application/vnd.ocm.software.component-descriptor.v2+yaml",
    "application/vnd.gardener.cloud.cnudie.component-descriptor.v2+json",
    "application/vnd.gardener.cloud.cnudie.component-descriptor.v2+yaml",
}
DESCRIPTOR_NOTE = "software.ocm.descriptor"
ARTIFACT_NOTE = "software.ocm.artifact"
VERSION_NOTE = "software.ocm.componentversion"
CREATOR_NOTE = "software.ocm.creator"
CREATOR = "tweed-shim"
DESCRIPTOR_MODE = 0


class OciRepository(Record):
    """A repository of component versions in a store; see Repository.

    sub_path: the prefix of all names. hashed_names: components are stored under the SHA-256 of their name, as old
    repositories may have them (`componentNameMapping: sha256-digest`); such a repository is read-only.
    """

    store: ArtifactStore
    sub_path: str = ""
    hashed_names: bool = False

    @property
    def what(self) -> str:
        """See Repository."""
        return posixpath.join(self.store.what, self.sub_path) if self.sub_path else self.store.what

    def components(self) -> list[str]:
        """See Repository."""
        if self.hashed_names:
            raise ComponentError(f"{self.what} cannot list its components: it has hashed names; name one")
        prefix = posixpath.join(self.sub_path, NAMESPACE, "")
        names = (name for name in self.store.repositories() if name.startswith(prefix))
        return [name.removeprefix(prefix) for name in names]

    def versions(self, component: str) -> list[str]:
        """See Repository."""
        return [to_version(tag) for tag in self.store.tags(self._repository(component))]

    def lookup(self, component: str, version: str) -> ComponentVersion | None:
        """See Repository."""
        oci_repository = self._repository(component)
        raw = self.store.manifest(oci_repository, to_tag(version))
        if raw is None:
            return None
        stored = _StoredVersion(self.store, oci_repository, f"{component}:{version} in {self.what}")
        return stored.open(raw, self, component=component, version=version)

    def add(self, addition: Addition) -> None:
        """See Repository."""
        descriptor = addition.descriptor
        if self.hashed_names:
            raise ComponentError(
                f"{self.what} is read-only: it has hashed names; use a repository without them"
            )
        manifest, parts = compose(addition)
        self.store.put(self._repository(descriptor.name), to_tag(descriptor.version), manifest, blobs=parts)

    def _repository(self, component: str) -> str:
        if self.hashed_names:
            return posixpath.join(self.sub_path, hashlib.sha256(component.encode()).hexdigest())
        return posixpath.join(self.sub_path, NAMESPACE, component)


def to_tag(version: str) -> str:
    """Return the tag of a version: a tag cannot have a `+`."""
    return version.replace("+", BUILD)


def to_version(tag: str) -> str:
    """Return the version of a tag."""
    before, separator, build = tag.rpartition(BUILD)
    return f"{before}+{build}" if separator else tag


def compose(addition: Addition) -> tuple[RawManifest, list[Blob]]:
    """Return the manifest of a component version, and all blobs that it names, each once."""
    descriptor = addition.descriptor
    packed = blob_access.from_bytes(_pack(addition.text), TAR_TYPE, f"the descriptor of {descriptor}")
    config_fields = {"componentDescriptorLayer": _fields(packed)}
    config = blob_access.from_bytes(
        json_writer.dump(config_fields).encode(), CONFIG_TYPE, f"the configuration of {descriptor}"
    )
    local = {blob.digest: blob for blob in addition.blobs}
    owners = _owners(addition)
    layers = [_fields(packed), *(_layer(blob, owners.get(digest, [])) for digest, blob in local.items())]
    annotations = {VERSION_NOTE: str(descriptor), CREATOR_NOTE: CREATOR}
    body = json_writer.dump(artifacts.manifest_json(_fields(config), layers, annotations)).encode()
    return RawManifest(OCI_MANIFEST, body, digest_of([body])), [packed, config, *local.values()]


def _pack(text: bytes) -> bytes:
    """Return the layer of a descriptor: a tar with one file, whose header has mode 0 like that of the reference."""
    head = tar_writer.header(DESCRIPTOR_FILE, len(text), mode=DESCRIPTOR_MODE)
    return b"".join((head, text, bytes(-len(text) % tar_writer.BLOCK), bytes(2 * tar_writer.BLOCK)))


def _fields(blob: Blob) -> dict[str, Any]:
    return artifacts.descriptor_json(blob.media_type, blob.digest, blob.size)


def _layer(blob: Blob, owners: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    fields = _fields(blob)
    if owners:
        fields["annotations"] = {ARTIFACT_NOTE: json_writer.dump(owners).encode().decode()}
    return fields


def _owners(addition: Addition) -> dict[str, list[dict[str, Any]]]:
    """Return the elements that each local blob is the content of, by its digest."""
    descriptor = addition.descriptor
    owners: dict[str, list[dict[str, Any]]] = {}
    for kind, elements in (("resource", descriptor.resources), ("source", descriptor.sources)):
        for element in elements:
            if reference := local_reference(element.access):
                owner = {
                    "kind": kind,
                    "identity": dict(sorted(element_identity.of_element(element, elements).items())),
                }
                owners.setdefault(reference, []).append(owner)
    return owners


class _StoredVersion(Record):
    """A component version in a store; `what` names it in errors."""

    store: ArtifactStore
    repository: str
    what: str

    def open(
        self, raw: RawManifest, repository: OciRepository, *, component: str, version: str
    ) -> ComponentVersion:
        artifact = self._root(raw)
        text = self._descriptor(artifact)
        descriptor = descriptor_codec.decode(text, name=f"the descriptor of {self.what}")
        if (descriptor.name, descriptor.version) != (component, version):
            raise ComponentError(f"{self.what} is damaged: it holds {descriptor} instead; transfer it again")

        layers = {part.descriptor.digest: part.descriptor for part in artifact.parts}

        def local_blob(reference: str, media_type: str) -> Blob:
            return self._local_blob(layers, reference, media_type)

        return ComponentVersion(descriptor, text, repository, local_blob)

    def _root(self, raw: RawManifest) -> Artifact:
        """Return the manifest that has the descriptor; an index names it."""
        artifact = artifacts.parse_artifact(raw, f"the manifest of {self.what}")
        if not artifact.is_index:
            return artifact
        named = [part for part in artifact.parts if part.annotations.get(DESCRIPTOR_NOTE) == "true"]
        if len(named) > 1 or not artifact.parts:
            raise ComponentError(
                f"{self.what} is an index with {len(named)} descriptors instead of one; build it again"
            )
        root = (named or artifact.parts)[0].descriptor
        raw_root = self.store.manifest(self.repository, root.digest)
        if raw_root is None:
            raise ComponentError(f"{self.what} lacks the manifest {root.digest}; transfer it again")
        manifest = artifacts.parse_artifact(raw_root, f"the manifest {root.digest} of {self.what}")
        if manifest.is_index:
            raise ComponentError(
                f"{self.what} is an index of indexes, which is not supported; build it again"
            )
        return manifest

    def _descriptor(self, artifact: Artifact) -> bytes:
        layer = self._descriptor_layer(artifact)
        content = self.store.blob(self.repository, layer, f"the descriptor of {self.what}")
        data = content.read()
        if layer.media_type in PLAIN_TYPES:
            return data
        with archive_files.open_tar_content(BytesContent(data), content.what) as members:
            text = archive_files.read_small(members, DESCRIPTOR_FILE)
        if text is None:
            raise ComponentError(f"{content.what} has no {DESCRIPTOR_FILE}; build it again")
        return text

    def _descriptor_layer(self, artifact: Artifact) -> Descriptor:
        config = artifact.config
        if config is None or config.media_type not in CONFIG_TYPES:
            raise ComponentError(
                f"{self.what} is no component version but another kind of artifact; name another"
            )
        body = self.store.blob(self.repository, config, f"the configuration of {self.what}").read()
        what = f"the configuration of {self.what}"
        value = documents.load(body, name=what, error=ComponentError, json_only=True).value
        reference = artifacts.json_object(value, what).get("componentDescriptorLayer")
        layer = artifacts.blob_descriptor(reference, f"componentDescriptorLayer in {what}")
        if layer.media_type not in PLAIN_TYPES | TAR_TYPES:
            raise ComponentError(
                f"{what} names a descriptor of the media type {layer.media_type!r}, which is not supported; "
                "build the component version again"
            )
        return layer

    def _local_blob(self, layers: Mapping[str, Descriptor], reference: str, media_type: str) -> Blob:
        """Return the content of a local blob; `layers` are those of the manifest by their digests.

        A reference may be a list of digests, whose contents are then joined.
        """
        if media_type in MANIFESTS | INDEXES:
            return artifact_sets.pack(
                OciArtifact(self.store, self.repository, reference, f"{reference} of {self.what}")
            )
        blobs = []
        for digest in (each.strip() for each in reference.split(",")):
            if digest not in layers:
                raise ComponentError(f"{self.what} lacks the local blob {digest}; transfer it again")
            blobs.append(self.store.blob(self.repository, layers[digest], f"the local blob {digest}"))
        if len(blobs) == 1:
            return replace(blobs[0], media_type=media_type or blobs[0].media_type)
        joined = SpoolFile(piece for blob in blobs for piece in blob.pieces())
        return joined.blob(media_type, f"the local blob {reference} of {self.what}")
