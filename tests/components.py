"""Builders of component versions and archives for tests."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tweed_shim.base.records import replace
from tweed_shim.image.archive_reader import Directory
from tweed_shim.ocm import artifact_sets, blob_access, ctf, descriptor_codec, resource_content
from tweed_shim.ocm.artifact_sets import ArtifactSet
from tweed_shim.ocm.blob_access import Blob
from tweed_shim.ocm.component_descriptor import (
    ComponentDescriptor,
    ComponentReference,
    Digest,
    Provider,
    Resource,
)
from tweed_shim.ocm.oci_repository import OciRepository
from tweed_shim.ocm.references import parse_repository
from tweed_shim.ocm.registry_store import ConnectionSettings
from tweed_shim.ocm.repositories import open_for_writing
from tweed_shim.ocm.repository import Addition
from tweed_shim.ocm.session import Session
from tweed_shim.ocm.transfer import TransferOptions, TransferResult, transfer


class Local(NamedTuple):
    """A resource that is a local blob."""

    name: str
    data: bytes
    media_type: str = "text/plain"
    type: str = "plainText"
    version: str = "1.0.0"


class Elsewhere(NamedTuple):
    """A resource with another access. content: its content, if its digest is to be recorded."""

    name: str
    access: Mapping[str, Any]
    content: bytes | None = None
    type: str = "blob"
    version: str = "1.0.0"


def generic_digest(data: bytes) -> Digest:
    return Digest("SHA-256", "genericBlobDigest/v1", hashlib.sha256(data).hexdigest())


def component(
    name: str,
    version: str = "1.0.0",
    resources: Iterable[Local | Elsewhere | Resource] = (),
    references: Sequence[str] = (),
) -> Addition:
    """A component version; `references` are `name:version`, and each is named by the last part of its component."""
    made, contents = list[Resource](), list[Blob]()
    for each in resources:
        if isinstance(each, Local):
            blob = blob_access.from_bytes(each.data, each.media_type, each.name)
            contents.append(blob)
            access: Mapping[str, Any] = {
                "type": "localBlob",
                "localReference": blob.digest,
                "mediaType": each.media_type,
            }
            made.append(
                Resource(each.name, each.version, type=each.type, relation="local", access=access)
                if each.media_type.startswith("application/vnd.oci")
                else Resource(
                    each.name, each.version, type=each.type, relation="local", access=access,
                    digest=generic_digest(each.data),
                )
            )  # fmt: skip
        elif isinstance(each, Elsewhere):
            recorded = None if each.content is None else generic_digest(each.content)
            made.append(
                Resource(
                    each.name,
                    each.version,
                    type=each.type,
                    relation="external",
                    access=each.access,
                    digest=recorded,
                )
            )
        else:
            made.append(each)
    about = ComponentDescriptor(
        name,
        version,
        Provider("acme"),
        resources=tuple(made),
        references=tuple(_reference(each) for each in references),
    )
    return Addition(about, descriptor_codec.encode(about), contents)


def _reference(named: str) -> ComponentReference:
    name, _, version = named.partition(":")
    return ComponentReference(name.rpartition("/")[2], version, component=name)


def make_archive(path: str | os.PathLike[str], *additions: Addition, file_format: str = "directory") -> str:
    """Write a transport archive with some component versions; returns its path."""
    with ctf.open_for_writing(os.fspath(path), file_format) as archive:
        repository = OciRepository(archive)
        for each in additions:
            repository.add(each)
    return os.fspath(path)


def put(repository: str, *additions: Addition) -> str:
    """Add component versions to a repository; returns its reference."""
    with open_for_writing(parse_repository(repository), ConnectionSettings()) as opened:
        for each in additions:
            opened.add(each)
    return repository


def move(source: str, target: str, *, lookups: Sequence[str] = (), **options: Any) -> list[TransferResult]:
    """Transfer one component version, as `ocm transfer` does."""
    with Session(lookups=lookups) as session:
        version = session.component_version(source)
        return transfer(
            session,
            [version],
            parse_repository(target),
            options=TransferOptions(**options),
            report=lambda _step: None,
        )


def content(source: str, name: str, *, verbs: Sequence[str] = ()) -> bytes:
    """Return the verified content of the only resource with a name; verbs: HTTP methods that its access may use."""
    with Session(connection=ConnectionSettings(verbs=tuple(verbs))) as session:
        version = session.component_version(source)
        (found,) = (each for each in version.descriptor.resources if each.name == name)
        with resource_content.open_content(version, found, session.connection) as blob:
            return b"".join(blob.pieces())


def tree(path: str | os.PathLike[str]) -> dict[str, bytes]:
    """Return the content of all files below a directory by relative path."""
    found = {}
    for directory, _, names in os.walk(path):
        for name in names:
            whole = os.path.join(directory, name)
            with open(whole, "rb") as file:
                found[os.path.relpath(whole, path)] = file.read()
    return found


def image(name: str, layout: str, *, record: bool = True) -> tuple[Resource, Blob]:
    """Return a resource and its local blob: the image of an OCI layout. record: its digest is recorded."""
    artifact = ArtifactSet(Directory(layout), layout).main
    blob = artifact_sets.pack(artifact, "1.0")
    access = {"type": "localBlob", "localReference": blob.digest, "mediaType": blob.media_type}
    digest = Digest("SHA-256", "ociArtifactDigest/v1", artifact.digest.partition(":")[2]) if record else None
    return Resource(name, "1.0.0", type="ociImage", relation="local", access=access, digest=digest), blob


def with_image(addition: Addition, resource: Resource, blob: Blob) -> Addition:
    """Return a component version with a further image."""
    about = replace(addition.descriptor, resources=(*addition.descriptor.resources, resource))
    return Addition(about, descriptor_codec.encode(about), [*addition.blobs, blob])
