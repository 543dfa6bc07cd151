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
from tweed_shim.image.content import Data, digest_of
from tweed_shim.image.manifest import INDEXES, MANIFESTS, OCI_MANIFEST, Descriptor, RawManifest
from tweed_shim.ocm import archives, artifact_sets, blobs, codec, identity, stores, tars
from tweed_shim.ocm.blobs import Blob, Spooled
from tweed_shim.ocm.repository import Addition, ComponentVersion, local_reference
from tweed_shim.ocm.stores import Artifact, Store

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

    sub_path: what all names begin with. hashed_names: components are found under the SHA-256 of their name, as
    old repositories may have them (`componentNameMapping: sha256-digest`); nothing is written there.
    """

    store: Store
    sub_path: str = ""
    hashed_names: bool = False

    @property
    def what(self) -> str:
        """See Repository."""
        return posixpath.join(self.store.what, self.sub_path) if self.sub_path else self.store.what

    def components(self) -> list[str]:
        """See Repository."""
        if self.hashed_names:
            raise ComponentError(f"{self.what} keeps its components under hashed names: name one")
        prefix = posixpath.join(self.sub_path, NAMESPACE, "")
        found = (name for name in self.store.repositories() if name.startswith(prefix))
        return [name.removeprefix(prefix) for name in found]

    def versions(self, component: str) -> list[str]:
        """See Repository."""
        return [to_version(tag) for tag in self.store.tags(self._repository(component))]

    def lookup(self, component: str, version: str) -> ComponentVersion | None:
        """See Repository."""
        place = self._repository(component)
        raw = self.store.manifest(place, to_tag(version))
        if raw is None:
            return None
        found = _Stored(self.store, place, f"{component}:{version} in {self.what}")
        return found.open(raw, self, component, version)

    def add(self, addition: Addition) -> None:
        """See Repository."""
        about = addition.descriptor
        if self.hashed_names:
            raise ComponentError(f"{self.what} keeps its components under hashed names and is only read")
        manifest, parts = compose(addition)
        self.store.put(self._repository(about.name), to_tag(about.version), manifest, parts)

    def _repository(self, component: str) -> str:
        if self.hashed_names:
            return posixpath.join(self.sub_path, hashlib.sha256(component.encode()).hexdigest())
        return posixpath.join(self.sub_path, NAMESPACE, component)


def to_tag(version: str) -> str:
    """The tag of a version: a tag has no `+`."""
    return version.replace("+", BUILD)


def to_version(tag: str) -> str:
    """The version of a tag."""
    before, separator, build = tag.rpartition(BUILD)
    return f"{before}+{build}" if separator else tag


def compose(addition: Addition) -> tuple[RawManifest, list[Blob]]:
    """The manifest of a component version, and all blobs that it names, each once."""
    about = addition.descriptor
    packed = blobs.of_bytes(_pack(addition.text), TAR_TYPE, f"the descriptor of {about}")
    settings = {"componentDescriptorLayer": _fields(packed)}
    config = blobs.of_bytes(stores.encode(settings), CONFIG_TYPE, f"the configuration of {about}")
    local = {blob.digest: blob for blob in addition.blobs}
    owners = _owners(addition)
    layers = [_fields(packed), *(_layer(blob, owners.get(digest, [])) for digest, blob in local.items())]
    notes = {VERSION_NOTE: str(about), CREATOR_NOTE: CREATOR}
    body = stores.encode(stores.manifest_fields(_fields(config), layers, notes))
    return RawManifest(OCI_MANIFEST, body, digest_of([body])), [packed, config, *local.values()]


def _pack(text: bytes) -> bytes:
    """The descriptor's layer: a tar with one file, whose header the reference writes without a mode."""
    head = tars.header(DESCRIPTOR_FILE, len(text), mode=DESCRIPTOR_MODE)
    return b"".join((head, text, bytes(-len(text) % tars.BLOCK), bytes(2 * tars.BLOCK)))


def _fields(blob: Blob) -> dict[str, Any]:
    return stores.descriptor_fields(blob.media_type, blob.digest, blob.size)


def _layer(blob: Blob, owners: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    fields = _fields(blob)
    if owners:
        fields["annotations"] = {ARTIFACT_NOTE: stores.encode(owners).decode()}
    return fields


def _owners(addition: Addition) -> dict[str, list[dict[str, Any]]]:
    """What each local blob is the content of, by its digest."""
    about = addition.descriptor
    owners: dict[str, list[dict[str, Any]]] = {}
    for kind, elements in (("resource", about.resources), ("source", about.sources)):
        for element in elements:
            if reference := local_reference(element.access):
                owner = {
                    "kind": kind,
                    "identity": dict(sorted(identity.identity(element, elements).items())),
                }
                owners.setdefault(reference, []).append(owner)
    return owners


class _Stored(Record):
    """A component version in a store; `what` names it in errors."""

    store: Store
    place: str
    what: str

    def open(
        self, raw: RawManifest, repository: OciRepository, component: str, version: str
    ) -> ComponentVersion:
        artifact = self._root(raw)
        text = self._descriptor(artifact)
        about = codec.decode(text, name=f"the descriptor of {self.what}")
        if (about.name, about.version) != (component, version):
            raise ComponentError(f"{self.what} is damaged: it holds {about} instead; transfer it again")

        layers = {part.descriptor.digest: part.descriptor for part in artifact.parts}

        def local_blob(reference: str, media_type: str) -> Blob:
            return self._local_blob(layers, reference, media_type)

        return ComponentVersion(about, text, repository, local_blob)

    def _root(self, raw: RawManifest) -> Artifact:
        """The manifest that has the descriptor; an index names it."""
        artifact = stores.parse(raw, f"the manifest of {self.what}")
        if not artifact.is_index:
            return artifact
        named = [part for part in artifact.parts if part.annotations.get(DESCRIPTOR_NOTE) == "true"]
        if len(named) > 1 or not artifact.parts:
            raise ComponentError(
                f"{self.what} is an index with {len(named)} descriptors instead of one: have it made again"
            )
        root = (named or artifact.parts)[0].descriptor
        found = self.store.manifest(self.place, root.digest)
        if found is None:
            raise ComponentError(f"{self.what} lacks the manifest {root.digest}: transfer it again")
        manifest = stores.parse(found, f"the manifest {root.digest} of {self.what}")
        if manifest.is_index:
            raise ComponentError(
                f"{self.what} is an index of indexes, which no tool makes: have it made again"
            )
        return manifest

    def _descriptor(self, artifact: Artifact) -> bytes:
        layer = self._descriptor_layer(artifact)
        content = self.store.blob(self.place, layer, f"the descriptor of {self.what}")
        data = content.read()
        if layer.media_type in PLAIN_TYPES:
            return data
        with archives.opened_content(Data(data), content.what) as members:
            found = archives.read(members, DESCRIPTOR_FILE)
        if found is None:
            raise ComponentError(f"{content.what} has no {DESCRIPTOR_FILE} in it: have it made again")
        return found

    def _descriptor_layer(self, artifact: Artifact) -> Descriptor:
        config = artifact.config
        if config is None or config.media_type not in CONFIG_TYPES:
            raise ComponentError(
                f"{self.what} is no component version but another kind of artifact: name another"
            )
        body = self.store.blob(self.place, config, f"the configuration of {self.what}").read()
        what = f"the configuration of {self.what}"
        value = documents.load(body, name=what, error=ComponentError, json_only=True).value
        named = stores.table(value, what).get("componentDescriptorLayer")
        layer = stores.read_descriptor(named, f"componentDescriptorLayer in {what}")
        if layer.media_type not in PLAIN_TYPES | TAR_TYPES:
            raise ComponentError(
                f"{what} names a descriptor of the media type {layer.media_type!r}, which is not known: "
                "have the component version made again"
            )
        return layer

    def _local_blob(self, layers: Mapping[str, Descriptor], reference: str, media_type: str) -> Blob:
        """Return the content of a local blob; `layers` are those of the manifest by their digests."""
        if media_type in MANIFESTS | INDEXES:
            return artifact_sets.collected(self.store, self.place, reference, f"{reference} of {self.what}")
        found = []
        for digest in (each.strip() for each in reference.split(",")):
            if digest not in layers:
                raise ComponentError(f"{self.what} lacks the local blob {digest}: transfer it again")
            found.append(self.store.blob(self.place, layers[digest], f"the local blob {digest}"))
        if len(found) == 1:
            return replace(found[0], media_type=media_type or found[0].media_type)
        joined = Spooled(piece for blob in found for piece in blob.pieces())
        return joined.blob(media_type, f"the local blob {reference} of {self.what}")
