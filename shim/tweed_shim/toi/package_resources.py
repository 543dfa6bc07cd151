"""Resources of component versions that TOI reads: the package, executors, libraries, additional files."""

from collections.abc import Callable, Sequence

from tweed_shim.errors import ComponentError
from tweed_shim.ocm import identity, resources
from tweed_shim.ocm.descriptor import Identity, Resource
from tweed_shim.ocm.repository import ComponentVersion, media_type_of
from tweed_shim.ocm.session import Session
from tweed_shim.toi import package
from tweed_shim.toi.common_fields import ResourceReference
from tweed_shim.toi.package import Package

Warn = Callable[[str], None]


def read(session: Session, owner: ComponentVersion, resource: Resource) -> bytes:
    """The content of a resource of at most 4 MiB, verified. Raises ComponentError and RegistryError."""
    with resources.opened(owner, resource, session.connection) as blob:
        return blob.read()


def referenced(
    session: Session, owner: ComponentVersion, reference: ResourceReference
) -> tuple[ComponentVersion, Resource]:
    """The resource that a reference names, and the component version that it is in. Raises ComponentError."""
    return session.resource(owner, reference.resource, reference.path)


def offered(session: Session, owner: ComponentVersion, reference: ResourceReference) -> bytes:
    """The content of the first resource that has what a reference asks for, which may leave out what it will."""
    holder = session.follow(owner, reference.path)
    found = identity.select(holder.descriptor.resources, reference.resource)
    if not found:
        raise ComponentError(
            f"{holder} has no resource {identity.show(reference.resource)}, which its package names"
        )
    return read(session, holder, found[0])


def specification(
    session: Session, owner: ComponentVersion, resource: Resource, known: Sequence[str], warn: Warn
) -> bytes:
    """The content of a resource that should have one of the known media types, or says nothing about it."""
    found = media_type_of(resource.access)
    if found not in ("", *known):
        warn(
            f"{resources.describe(owner, resource)} has the media type {found}, and not one of {', '.join(known)}: it "
            "is read as YAML all the same"
        )
    return read(session, owner, resource)


def find_package(
    session: Session, version: ComponentVersion, pattern: Identity, warn: Warn
) -> tuple[Package, str]:
    """The first package of a component version that has what the pattern asks for, and what messages call it.

    Raises ComponentError where there is none, or it is malformed.
    """
    there = version.descriptor.resources
    packages = [each for each in there if each.type == package.TYPE]
    found = identity.select(packages, pattern)
    if not found:
        raise ComponentError(_missing(version, packages, pattern))
    name = f"the package {identity.show(identity.identity(found[0], there))} of {version}"
    data = specification(session, version, found[0], package.MEDIA_TYPES, warn)
    return package.parse(data, name=name), name


def _missing(version: ComponentVersion, packages: Sequence[Resource], pattern: Identity) -> str:
    if packages:
        there = "; ".join(
            identity.show(identity.identity(each, version.descriptor.resources)) for each in packages
        )
        return f"{version} has no package {identity.show(pattern)}: it has {there}"
    types = ", ".join(dict.fromkeys(each.type for each in version.descriptor.resources)) or "none at all"
    return f"{version} is nothing to bootstrap: it has no resource of type {package.TYPE}, but of the types {types}"
