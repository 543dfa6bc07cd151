"""Resources: their content, verified against the digest that is recorded for them, and images among them."""

import hashlib
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from tweed_shim.base import files, named_files
from tweed_shim.base.records import Record, replace
from tweed_shim.errors import ComponentError, ConfigError, HostError, ShimError, Unverifiable
from tweed_shim.host.userns import IdMap
from tweed_shim.image.manifest import Descriptor
from tweed_shim.image.reference import Reference
from tweed_shim.ocm import access, artifact_sets, ctf, identity
from tweed_shim.ocm.access import Request
from tweed_shim.ocm.artifact_sets import Holder
from tweed_shim.ocm.blobs import Blob
from tweed_shim.ocm.descriptor import Digest, Resource, Source
from tweed_shim.ocm.registries import Connection
from tweed_shim.ocm.repository import ComponentVersion

if TYPE_CHECKING:
    from tweed_shim.image import store

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


def write(blob: Blob, path: str) -> None:
    """Write content to a file, which is there only if it is whole and right; `-` is stdout. A pipe is written into.

    Raises ComponentError where it is damaged, HostError where it cannot be written.
    """
    if path == "-":
        # It cannot be taken back: it is verified first.
        _exhaust(blob)
        sys.stdout.flush()
        sys.stdout.buffer.writelines(blob.pieces())
        return
    if files.is_special(path):
        # What is written into cannot be taken back either.
        _exhaust(blob)
    with ctf.faults(path), named_files.writing(path, durable=False) as file:
        file.writelines(blob.pieces())


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
        raise _another(blob.what, found, wanted)


def _another(what: str, found: str, wanted: str) -> ComponentError:
    return ComponentError(
        f"{what} is not what its component version says: its digest is {found} instead of {wanted}; do not use it"
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


class Image(Record):
    """An OCI artifact that is a resource, and who has its parts; `what` names it in errors."""

    holder: Holder
    repository: str
    main: Descriptor
    what: str


@contextmanager
def opened_image(version: ComponentVersion, resource: Resource, connection: Connection) -> Iterator[Image]:
    """The OCI artifact that a resource is, wherever it is kept, for the length of a block.

    Its parts are verified when they are read, by digests that begin with the recorded one. Raises ComponentError where
    the resource is no OCI artifact or another one than recorded, and RegistryError.
    """
    what = describe(version, resource)
    with ExitStack() as stack:
        asked = request(version, resource, connection, stack)
        found = access.artifact(asked)
        if found is not None:
            image = Image(found.store, found.repository, Descriptor("", found.digest, 0), what)
        else:
            blob = access.reach(asked)
            if not artifact_sets.is_artifact_set(blob.media_type):
                raise ComponentError(
                    f"{what} is no OCI artifact, but has the media type {blob.media_type!r}: name another"
                )
            held = stack.enter_context(artifact_sets.opened(blob))
            image = Image(held, "", held.main, what)
        recorded = recorded_artifact(resource)
        if recorded not in (None, image.main.digest):
            raise _another(what, image.main.digest, str(recorded))
        yield image


def recorded_artifact(resource: Resource) -> str | None:
    """The digest of the manifest or index that a resource is, where it is recorded."""
    digest = resource.digest
    if digest is None or digest.normalisation != OCI_ARTIFACT or digest.hash_algorithm not in ALGORITHMS:
        return None
    return f"{ALGORITHMS[digest.hash_algorithm]}:{digest.value}"


def write_layout(
    version: ComponentVersion, resource: Resource, connection: Connection, directory: str
) -> str:
    """Make an OCI image layout of an OCI artifact that is a resource; returns the reference to pull it by.

    directory: a new one. No registry is asked where the artifact is a local blob. Raises as `opened_image`, and
    HostError where it cannot be written.
    """
    with opened_image(version, resource, connection) as image:
        artifact_sets.write_layout(image.holder, image.repository, image.main, directory, image.what)
    return f"oci:{directory}"


def pull(
    root: str,
    version: ComponentVersion,
    resource: Resource,
    connection: Connection,
    *,
    policy: str = "missing",
    platform: str | None = None,
    report: Callable[[str], None] | None = None,
    idmap: IdMap | None = None,
) -> "store.Image":
    """Have an image that is a resource in the store, unpacked.

    It is called as it is in its registry, or by its component where it is kept with that; and by the recorded digest.
    Without one it is what its tag means in the store. policy: `pull` of image.pull.obtain. Raises as `opened_image`
    and image.pull.obtain do.
    """
    from tweed_shim.image import pull as images

    @contextmanager
    def source() -> Iterator[artifact_sets.Source]:
        with opened_image(version, resource, connection) as image:
            yield artifact_sets.Source(image.holder, image.repository, image.main, image.what)

    return images.obtain(
        root,
        _reference(version, resource, connection),
        pull=policy,
        platform=platform,
        connect=connection.connect,
        report=report,
        idmap=idmap,
        source=source,
    )


def _reference(version: ComponentVersion, resource: Resource, connection: Connection) -> Reference:
    """What the store calls an image. No registry is asked where the resource says enough."""
    digest = recorded_artifact(resource)
    named = access.image_reference(resource.access, describe(version, resource))
    if named is not None:
        return named if digest is None else replace(named, tag=None, digest=digest)
    if digest is None:
        with opened_image(version, resource, connection) as image:
            digest = image.main.digest
    registry, _, repository = version.descriptor.name.partition("/")
    return Reference("docker", registry, repository, digest=digest)


def check(version: ComponentVersion, resource: Resource, digest: Digest, connection: Connection) -> None:
    """Compare a resource's content with a digest; of a web server it is asked for by GET alone.

    Raises Unverifiable where the content cannot be had or the digest is of an unknown kind, and ComponentError where
    it is another content.
    """
    if not can_verify(digest):
        raise Unverifiable(
            f"a digest of the kind {digest.hash_algorithm}, {digest.normalisation} cannot be computed here"
        )
    with ExitStack() as stack:
        asked = request(version, resource, connection, stack)
        try:
            blob = access.reach(replace(asked, access=access.as_plain_get(asked.access)))
        except (HostError, ConfigError):
            raise
        except ShimError as error:
            raise Unverifiable(str(error)) from None
        verify(blob, digest)
        if digest.normalisation == OCI_ARTIFACT:
            with artifact_sets.opened(blob) as artifact:
                parts = artifact_sets.reachable(artifact, "", artifact.main, blob.what)
                for part, raw in parts:
                    if raw is None:
                        _exhaust(artifact.blob("", part, f"the blob {part.digest}"))
        else:
            _exhaust(blob)


def _exhaust(blob: Blob) -> None:
    """Read all of it, which raises ComponentError where it is not what its digest says."""
    for _ in blob.pieces():
        pass
