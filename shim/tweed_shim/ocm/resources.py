"""Resources: their content, verified against the digest that is recorded for them, and images among them."""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tweed_shim.errors import ComponentError
from tweed_shim.ocm import access, artifact_sets, identity
from tweed_shim.ocm.access import Request
from tweed_shim.ocm.artifact_sets import ArtifactSet
from tweed_shim.ocm.blobs import Blob
from tweed_shim.ocm.descriptor import Digest, Resource, Source
from tweed_shim.ocm.registries import Connection
from tweed_shim.ocm.repository import ComponentVersion

GENERIC = "genericBlobDigest/v1"
OCI_ARTIFACT = "ociArtifactDigest/v1"
ALGORITHMS = {"SHA-256": "sha256", "SHA-512": "sha512"}


def describe(version: ComponentVersion, element: Resource | Source) -> str:
    """A resource or a source for people."""
    kind = "resource" if isinstance(element, Resource) else "source"
    siblings = version.descriptor.resources if kind == "resource" else version.descriptor.sources
    return f"the {kind} {identity.show(identity.identity(element, siblings))} of {version}"


@contextmanager
def opened(version: ComponentVersion, element: Resource | Source, connection: Connection) -> Iterator[Blob]:
    """The content of a resource or a source, for the length of a block.

    It is what the recorded digest says, or that is found when it is read (Blob.pieces). Raises ComponentError or
    RegistryError where it cannot be had, or is something else.
    """
    with ExitStack() as stack:
        blob = access.reach(request(version, element, connection, stack))
        if isinstance(element, Resource) and element.digest is not None:
            verify(blob, element.digest)
        yield blob


def request(
    version: ComponentVersion, element: Resource | Source, connection: Connection, stack: ExitStack
) -> Request:
    """What is asked for where an element's content is wanted."""
    return Request(version, element.access, describe(version, element), connection, stack)


def verify(blob: Blob, digest: Digest) -> None:
    """Compare content with the digest that is recorded for it. Raises ComponentError where it is another."""
    if digest.is_excluded:
        return
    if not can_verify(digest):
        raise ComponentError(
            f"{blob.what} has a digest of the kind {digest.hash_algorithm}, {digest.normalisation}, "
            "which cannot be verified here: use a tool that knows it"
        )
    algorithm = ALGORITHMS[digest.hash_algorithm]
    wanted = f"{algorithm}:{digest.value}"
    found = _artifact_digest(blob) if digest.normalisation == OCI_ARTIFACT else _digest(blob, algorithm)
    if found != wanted:
        raise ComponentError(
            f"{blob.what} is not what its component version says: its digest is {found} instead of {wanted}; "
            "do not use it"
        )


def can_verify(digest: Digest) -> bool:
    """Whether this kind of digest is known here."""
    known = digest.hash_algorithm in ALGORITHMS and digest.normalisation in (GENERIC, OCI_ARTIFACT)
    return known or digest.is_excluded


def _digest(blob: Blob, algorithm: str) -> str:
    if blob.digest.startswith(f"{algorithm}:"):
        return blob.digest
    found = hashlib.new(algorithm)
    for piece in blob.pieces():
        found.update(piece)
    return f"{algorithm}:{found.hexdigest()}"


def _artifact_digest(blob: Blob) -> str:
    with artifact_sets.opened(blob) as artifact:
        return artifact.main.digest


@contextmanager
def opened_image(
    version: ComponentVersion, resource: Resource, connection: Connection
) -> Iterator[ArtifactSet]:
    """The OCI artifact that a resource is, for the length of a block.

    Its parts are verified when they are read, by the digests that begin with the recorded one. Raises ComponentError
    where the resource is no OCI artifact.
    """
    with opened(version, resource, connection) as blob:
        if not artifact_sets.is_artifact_set(blob.media_type):
            raise ComponentError(
                f"{describe(version, resource)} is no OCI artifact but {blob.media_type or 'of no media type'}: "
                "name another"
            )
        with artifact_sets.opened(blob) as artifact:
            yield artifact


def write_layout(
    version: ComponentVersion, resource: Resource, connection: Connection, directory: str
) -> str:
    """Make an OCI image layout of an image that is a resource; returns the reference to pull it by.

    directory: is made. No registry is asked where the image is a local blob. Raises ComponentError and RegistryError,
    and OSError where it cannot be written.
    """
    with opened_image(version, resource, connection) as artifact:
        artifact_sets.write_layout(artifact, "", artifact.main, directory, artifact.what)
    return f"oci:{directory}"
