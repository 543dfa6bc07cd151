"""The content of resources, verified against the digests that are recorded for them."""

import hashlib
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from tweed_shim.base import files, named_files
from tweed_shim.base.records import replace
from tweed_shim.errors import ComponentError, ConfigError, HostError, ShimError, Unverifiable
from tweed_shim.ocm import access_methods, access_spec, artifact_sets, element_identity, output_files
from tweed_shim.ocm.access_methods import AccessRequest
from tweed_shim.ocm.blob_access import Blob
from tweed_shim.ocm.component_descriptor import Digest, Resource, Source
from tweed_shim.ocm.registry_store import ConnectionSettings
from tweed_shim.ocm.repository import ComponentVersion

if TYPE_CHECKING:
    pass

BLOB_DIGEST = "genericBlobDigest/v1"
ARTIFACT_DIGEST = "ociArtifactDigest/v1"
HASH_ALGORITHMS = {"SHA-256": "sha256", "SHA-512": "sha512"}


def describe(version: ComponentVersion, element: Resource | Source) -> str:
    """Return words for a resource or a source."""
    kind = "resource" if isinstance(element, Resource) else "source"
    siblings = version.descriptor.resources if kind == "resource" else version.descriptor.sources
    return (
        f"the {kind} {element_identity.describe(element_identity.of_element(element, siblings))} of {version}"
    )


@contextmanager
def open_content(
    version: ComponentVersion, element: Resource | Source, connection: ConnectionSettings
) -> Iterator[Blob]:
    """Open the content of a resource or a source for the length of a block.

    The content is verified against the recorded digest, here or while it is read (Blob.pieces). Raises ComponentError
    or RegistryError where it cannot be read, or is another content.
    """
    with ExitStack() as stack:
        blob = access_methods.get_blob(access_request(version, element, connection, stack=stack))
        if isinstance(element, Resource) and element.digest is not None:
            verify(blob, element.digest)
        yield blob


def access_request(
    version: ComponentVersion, element: Resource | Source, connection: ConnectionSettings, *, stack: ExitStack
) -> AccessRequest:
    """Return the request for the content of an element."""
    return AccessRequest(version, element.access, describe(version, element), connection, stack=stack)


def write_content(blob: Blob, path: str) -> None:
    """Write content to a file, which appears only when it is complete and verified; `-` is stdout.

    A pipe or a device is written into. Raises ComponentError where the content is damaged, HostError where the file
    cannot be written.
    """
    if path == "-":
        # What was written to a pipe cannot be taken back, so the content is verified first.
        _exhaust(blob)
        sys.stdout.flush()
        sys.stdout.buffer.writelines(blob.pieces())
        return
    if files.is_special(path):
        # Nor can what was written to a device or a named pipe.
        _exhaust(blob)
    with output_files.explained_faults(path), named_files.writing(path, durable=False) as file:
        file.writelines(blob.pieces())


def verify(blob: Blob, digest: Digest) -> None:
    """Compare content with the digest that is recorded for it. Raises ComponentError where they differ."""
    if digest.is_excluded:
        return
    if not can_verify(digest):
        raise ComponentError(
            f"{blob.what} has a digest of the kind {digest.hash_algorithm}, {digest.normalisation}, "
            "which is not supported; verify it with another tool"
        )
    algorithm = HASH_ALGORITHMS[digest.hash_algorithm]
    recorded = f"{algorithm}:{digest.value}"
    actual = _artifact_digest(blob) if digest.normalisation == ARTIFACT_DIGEST else _digest(blob, algorithm)
    if actual != recorded:
        raise digest_mismatch(blob.what, actual, recorded)


def digest_mismatch(what: str, actual: str, recorded: str) -> ComponentError:
    """Return the error for content with another digest than the recorded one."""
    return ComponentError(
        f"{what} is not what its component version says: its digest is {actual} instead of {recorded}; do not use it"
    )


def can_verify(digest: Digest) -> bool:
    """Whether this kind of digest is supported."""
    known = digest.hash_algorithm in HASH_ALGORITHMS and digest.normalisation in (
        BLOB_DIGEST,
        ARTIFACT_DIGEST,
    )
    return known or digest.is_excluded


def _digest(blob: Blob, algorithm: str) -> str:
    if blob.digest.startswith(f"{algorithm}:"):
        return blob.digest
    hasher = hashlib.new(algorithm)
    for piece in blob.pieces():
        hasher.update(piece)
    return f"{algorithm}:{hasher.hexdigest()}"


def _artifact_digest(blob: Blob) -> str:
    with artifact_sets.open_set(blob) as artifact_set:
        return artifact_set.main.digest


def check_content(
    version: ComponentVersion, resource: Resource, digest: Digest, *, connection: ConnectionSettings
) -> None:
    """Compare the content of a resource with a digest. Web servers receive nothing but GET.

    Raises Unverifiable where the content cannot be read or the digest is of an unknown kind, and ComponentError where
    the content is another one.
    """
    if not can_verify(digest):
        raise Unverifiable(
            f"a digest of the kind {digest.hash_algorithm}, {digest.normalisation} is not supported; verify it with "
            "another tool"
        )
    with ExitStack() as stack:
        request = access_request(version, resource, connection, stack=stack)
        try:
            blob = access_methods.get_blob(replace(request, access=access_spec.as_plain_get(request.access)))
        except (HostError, ConfigError):
            raise
        except ShimError as error:
            raise Unverifiable(str(error)) from None
        verify(blob, digest)
        if digest.normalisation == ARTIFACT_DIGEST:
            with artifact_sets.open_set(blob) as artifact_set:
                for part in artifact_set.main.parts():
                    _exhaust(part.content)
        else:
            _exhaust(blob)


def _exhaust(blob: Blob) -> None:
    """Read a whole blob, which raises ComponentError where its digest is another one."""
    for _ in blob.pieces():
        pass
