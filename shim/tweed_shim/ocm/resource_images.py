"""Resources that are OCI images: read, written as an image layout, and pulled into the store."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from tweed_shim.base.records import replace
from tweed_shim.errors import ComponentError
from tweed_shim.host.userns import IdMap
from tweed_shim.image.reference import Reference
from tweed_shim.ocm import access_methods, artifact_sets, oci_artifact
from tweed_shim.ocm.component_descriptor import Resource
from tweed_shim.ocm.oci_artifact import OciArtifact
from tweed_shim.ocm.registry_store import ConnectionSettings
from tweed_shim.ocm.repository import ComponentVersion
from tweed_shim.ocm.resource_content import (
    ARTIFACT_DIGEST,
    HASH_ALGORITHMS,
    access_request,
    describe,
    digest_mismatch,
)

if TYPE_CHECKING:
    from tweed_shim.image import store


@contextmanager
def open_image(
    version: ComponentVersion, resource: Resource, connection: ConnectionSettings
) -> Iterator[OciArtifact]:
    """Open the OCI artifact that is the content of a resource, for the length of a block.

    Its parts are verified while they are read, from the recorded digest down. Raises ComponentError where the resource
    is no OCI artifact or another one than recorded, and RegistryError.
    """
    what = describe(version, resource)
    with ExitStack() as stack:
        request = access_request(version, resource, connection, stack=stack)
        located = access_methods.locate_artifact(request)
        if located is not None:
            image = located.artifact
        else:
            blob = access_methods.get_blob(request)
            if not artifact_sets.is_artifact_set(blob.media_type):
                raise ComponentError(
                    f"{what} is no OCI artifact, but has the media type {blob.media_type!r}; name another resource"
                )
            image = replace(stack.enter_context(artifact_sets.open_set(blob)).main, what=what)
        recorded = recorded_digest(resource)
        if recorded not in (None, image.digest):
            raise digest_mismatch(what, image.digest, str(recorded))
        yield image


def recorded_digest(resource: Resource) -> str | None:
    """Return the digest of the manifest or index that is recorded for a resource, None without one."""
    digest = resource.digest
    if (
        digest is None
        or digest.normalisation != ARTIFACT_DIGEST
        or digest.hash_algorithm not in HASH_ALGORITHMS
    ):
        return None
    return f"{HASH_ALGORITHMS[digest.hash_algorithm]}:{digest.value}"


def write_layout(
    version: ComponentVersion, resource: Resource, connection: ConnectionSettings, *, directory: str
) -> str:
    """Write an OCI image layout of a resource to a new directory; returns the reference to pull it by.

    No registry is asked where the artifact is a local blob. Raises as `open_image`, and HostError where the directory
    cannot be written.
    """
    with open_image(version, resource, connection) as image:
        oci_artifact.write_layout(image, directory)
    return f"oci:{directory}"


def pull_image(
    root: str,
    version: ComponentVersion,
    resource: Resource,
    connection: ConnectionSettings,
    *,
    policy: str = "missing",
    platform: str | None = None,
    report: Callable[[str], None] | None = None,
    idmap: IdMap | None = None,
) -> "store.Image":
    """Pull an image that is a resource into the store, and unpack it.

    The store keeps it under its name in its registry, or under its component's name where it is a local blob, and by
    the recorded digest. Without a recorded digest the store resolves the tag. policy: `pull` of image.pull.obtain.
    Raises as `open_image` and image.pull.obtain do.
    """
    from tweed_shim.image import pull as images

    @contextmanager
    def source() -> Iterator[oci_artifact.ImageSource]:
        with open_image(version, resource, connection) as image:
            yield oci_artifact.ImageSource(image)

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


def _reference(version: ComponentVersion, resource: Resource, connection: ConnectionSettings) -> Reference:
    """Return the name of an image in the store. No registry is asked where the resource says enough."""
    digest = recorded_digest(resource)
    named = access_methods.image_reference(resource.access, describe(version, resource))
    if named is not None:
        return named if digest is None else replace(named, tag=None, digest=digest)
    if digest is None:
        with open_image(version, resource, connection) as image:
            digest = image.digest
    registry, _, repository = version.descriptor.name.partition("/")
    return Reference("docker", registry, repository, digest=digest)
