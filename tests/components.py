"""Component versions, and archives of them, made for tests."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tweed_shim.base.records import replace
from tweed_shim.image.archive_reader import Directory
from tweed_shim.ocm import artifact_sets, blobs, codec, ctf, resources
from tweed_shim.ocm.artifact_sets import ArtifactSet
from tweed_shim.ocm.blobs import Blob
from tweed_shim.ocm.descriptor import Descriptor, Digest, Provider, Reference, Resource
from tweed_shim.ocm.locations import parse_repository
from tweed_shim.ocm.mapping import OciRepository
from tweed_shim.ocm.registries import Connection
from tweed_shim.ocm.repository import Addition
from tweed_shim.ocm.session import Session, written
from tweed_shim.ocm.transfer import Order, Transferred, transfer


class Local(NamedTuple):
    """A resource that is a local blob."""

    name: str
    data: bytes
    media_type: str = "text/plain"
    type: str = "plainText"
    version: str = "1.0.0"


class Elsewhere(NamedTuple):
    """A resource that is accessed elsewhere. content: what it is, where its digest is to be recorded."""

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
    """A component version; `references` are component versions (`name:version`), named by the last part of theirs."""
    made, contents = list[Resource](), list[Blob]()
    for each in resources:
        if isinstance(each, Local):
            blob = blobs.of_bytes(each.data, each.media_type, each.name)
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
    about = Descriptor(
        name,
        version,
        Provider("acme"),
        resources=tuple(made),
        references=tuple(_reference(each) for each in references),
    )
    return Addition(about, codec.encode(about), contents)


def _reference(named: str) -> Reference:
    name, _, version = named.partition(":")
    return Reference(name.rpartition("/")[2], version, component=name)


def make_archive(path: str | os.PathLike[str], *additions: Addition, file_format: str = "directory") -> str:
    """A transport archive with some component versions; returns its path."""
    with ctf.written(os.fspath(path), file_format) as archive:
        repository = OciRepository(archive)
        for each in additions:
            repository.add(each)
    return os.fspath(path)


def put(repository: str, *additions: Addition) -> str:
    """Add component versions to a repository by its reference, which is returned."""
    with written(parse_repository(repository), Connection()) as opened:
        for each in additions:
            opened.add(each)
    return repository


def move(source: str, target: str, *, lookups: Sequence[str] = (), **order: Any) -> list[Transferred]:
    """Transfer one component version, as `ocm transfer` does."""
    with Session(lookups=lookups) as session:
        version = session.component_version(source)
        return transfer(session, [version], parse_repository(target), Order(**order), lambda _step: None)


def content(source: str, name: str, *, verbs: Sequence[str] = ()) -> bytes:
    """The content of the only resource of a name, verified; verbs: HTTP methods that its access may use."""
    with Session(connection=Connection(verbs=tuple(verbs))) as session:
        version = session.component_version(source)
        (found,) = (each for each in version.descriptor.resources if each.name == name)
        with resources.opened(version, found, session.connection) as blob:
            return b"".join(blob.pieces())


def tree(path: str | os.PathLike[str]) -> dict[str, bytes]:
    """All files below a directory, by their relative path."""
    found = {}
    for directory, _, names in os.walk(path):
        for name in names:
            whole = os.path.join(directory, name)
            with open(whole, "rb") as file:
                found[os.path.relpath(whole, path)] = file.read()
    return found


def image(name: str, layout: str, *, record: bool = True) -> tuple[Resource, Blob]:
    """A resource that is the image of an OCI layout, as a local blob; `record` its digest."""
    held = ArtifactSet(Directory(layout), layout)
    blob = artifact_sets.collected(held, "", held.main.digest, layout, "1.0")
    access = {"type": "localBlob", "localReference": blob.digest, "mediaType": blob.media_type}
    digest = Digest("SHA-256", "ociArtifactDigest/v1", held.main.digest.partition(":")[2]) if record else None
    return Resource(name, "1.0.0", type="ociImage", relation="local", access=access, digest=digest), blob


def with_image(addition: Addition, resource: Resource, blob: Blob) -> Addition:
    """A component version with an image more."""
    about = replace(addition.descriptor, resources=(*addition.descriptor.resources, resource))
    return Addition(about, codec.encode(about), [*addition.blobs, blob])
