"""Read the resources that TOI uses: packages, executor specifications, libraries and the files of a package."""

from collections.abc import Callable, Sequence

from tweed_shim.errors import ComponentError
from tweed_shim.ocm import access_spec, element_identity, resource_content
from tweed_shim.ocm.component_descriptor import Identity, Resource
from tweed_shim.ocm.repository import ComponentVersion
from tweed_shim.ocm.session import Session
from tweed_shim.toi import package
from tweed_shim.toi.common_fields import ResourceReference
from tweed_shim.toi.package import Package

Warn = Callable[[str], None]


def read_content(session: Session, owner: ComponentVersion, resource: Resource) -> bytes:
    """Return the content of a resource, at most 4 MiB, verified. Raises ComponentError and RegistryError."""
    with resource_content.open_content(owner, resource, session.connection) as blob:
        return blob.read()


def resolve_reference(
    session: Session, owner: ComponentVersion, reference: ResourceReference
) -> tuple[ComponentVersion, Resource]:
    """Return the resource that a reference names, and the component version it is in. Raises ComponentError."""
    return session.resource(owner, reference.resource, reference.path)


def read_first_match(session: Session, owner: ComponentVersion, reference: ResourceReference) -> bytes:
    """Return the content of the first resource that has the attributes of a reference.

    The reference may leave out parts of the resource's identity. Raises ComponentError where nothing matches.
    """
    holder = session.follow(owner, reference.path)
    matches = element_identity.select(holder.descriptor.resources, reference.resource)
    if not matches:
        raise ComponentError(
            f"{holder} has no resource {element_identity.describe(reference.resource)}, which its package names; ask "
            "the author of the package to correct the name"
        )
    return read_content(session, holder, matches[0])


def read_specification(
    session: Session,
    owner: ComponentVersion,
    resource: Resource,
    media_types: Sequence[str],
    *,
    warn: Warn,
) -> bytes:
    """Return the content of a resource that is a specification; warn where its media type is not one of these."""
    media_type = access_spec.media_type(resource.access)
    if media_type not in ("", *media_types):
        warn(
            f"{resource_content.describe(owner, resource)} has the media type {media_type}, and not one of "
            f"{', '.join(media_types)}: it is read as YAML all the same"
        )
    return read_content(session, owner, resource)


def find_package(
    session: Session, version: ComponentVersion, pattern: Identity, warn: Warn
) -> tuple[Package, str]:
    """Return the first package of a component version that has the attributes of `pattern`, and its name in messages.

    Raises ComponentError where there is none, or where it is malformed.
    """
    all_resources = version.descriptor.resources
    packages = [each for each in all_resources if each.type == package.TYPE]
    matches = element_identity.select(packages, pattern)
    if not matches:
        raise ComponentError(_missing_package(version, packages, pattern))
    identity = element_identity.of_element(matches[0], all_resources)
    name = f"the package {element_identity.describe(identity)} of {version}"
    data = read_specification(session, version, matches[0], package.MEDIA_TYPES, warn=warn)
    return package.parse(data, name=name), name


def _missing_package(version: ComponentVersion, packages: Sequence[Resource], pattern: Identity) -> str:
    all_resources = version.descriptor.resources
    if packages:
        known = "; ".join(
            element_identity.describe(element_identity.of_element(each, all_resources)) for each in packages
        )
        return f"{version} has no package {element_identity.describe(pattern)}; name one that it has: {known}"
    types = ", ".join(dict.fromkeys(each.type for each in all_resources)) or "none"
    return (
        f"{version} cannot be bootstrapped: it has no resource of type {package.TYPE}, but of the types {types}; name "
        "a component version with a TOI package"
    )
