"""Find the executor that carries out an action, and its image."""

from collections.abc import Callable

from tweed_shim.base.records import Record
from tweed_shim.errors import ComponentError
from tweed_shim.ocm import element_identity, resource_content
from tweed_shim.ocm.component_descriptor import Resource
from tweed_shim.ocm.repository import ComponentVersion
from tweed_shim.ocm.session import Session
from tweed_shim.toi import executor_spec, package, package_resources
from tweed_shim.toi.common_fields import Image
from tweed_shim.toi.executor_spec import ExecutorSpecification
from tweed_shim.toi.package import ExecutorEntry, Package

IMAGE_TYPE = "ociImage"


class ImageResource(Record):
    """An image that is a resource of a component version."""

    owner: ComponentVersion
    resource: Resource

    def __str__(self) -> str:
        """Return the reference of the image, or else the name of the resource."""
        reference = self.resource.access.get("imageReference")
        return (
            reference if isinstance(reference, str) else resource_content.describe(self.owner, self.resource)
        )


class ExecutorDetails(Record):
    """The specification of an executor and its image. owner: the references of the specification start there."""

    owner: ComponentVersion
    specification: ExecutorSpecification
    image: Image | ImageResource


class Execution(Record):
    """An action, the package's entry for it, and the details of the entry's executor."""

    action: str
    entry: ExecutorEntry
    details: ExecutorDetails


def find(
    session: Session,
    version: ComponentVersion,
    toi_package: Package,
    action: str,
    *,
    name: str,
    warn: Callable[[str], None],
) -> Execution:
    """Find what carries out an action of a package, whose name in messages is `name`.

    Raises ComponentError where the package or the executor lacks the action, or the executor an output.
    """
    entry = package.choose_entry(toi_package, action, name=name)
    details = resolve_entry(session, version, entry, name=name, warn=warn)
    specification = details.specification
    if specification.actions is not None and action not in specification.actions:
        raise ComponentError(
            f"{entry} that {name} uses has no action {action!r}; use one that it has: "
            f"{', '.join(specification.actions)}"
        )
    if specification.outputs is not None:
        missing = [each for each in entry.outputs if each not in specification.outputs]
        if missing:
            raise ComponentError(
                f"{name} maps outputs that {entry} does not declare: {', '.join(missing)}; it declares "
                f"{', '.join(specification.outputs) or 'none'}"
            )
    return Execution(action, entry, details)


def resolve_entry(
    session: Session,
    version: ComponentVersion,
    entry: ExecutorEntry,
    *,
    name: str,
    warn: Callable[[str], None],
) -> ExecutorDetails:
    """Find the specification and the image of an entry's executor. Raises ComponentError."""
    if entry.image:
        return ExecutorDetails(version, ExecutorSpecification(), entry.image)
    if entry.resource_ref is None:
        raise ComponentError(
            f"{name} has an entry of executors without resourceRef and image: ask its author to add one"
        )
    owner, resource = package_resources.resolve_reference(session, version, entry.resource_ref)
    if resource.type == IMAGE_TYPE:
        return ExecutorDetails(owner, ExecutorSpecification(), ImageResource(owner, resource))
    if resource.type != executor_spec.TYPE:
        raise _wrong_type(owner, resource, f"{IMAGE_TYPE} and {executor_spec.TYPE}")
    identity = element_identity.of_element(resource, owner.descriptor.resources)
    what = f"the executor {element_identity.describe(identity)} of {owner}"
    data = package_resources.read_specification(
        session, owner, resource, executor_spec.MEDIA_TYPES, warn=warn
    )
    specification = executor_spec.parse(data, name=what)
    return ExecutorDetails(owner, specification, _image_of(session, owner, specification, what))


def _image_of(
    session: Session, owner: ComponentVersion, specification: ExecutorSpecification, what: str
) -> Image | ImageResource:
    if specification.image:
        return specification.image
    if specification.image_ref is None:
        raise ComponentError(f"{what} has neither imageRef nor image: ask its author to add one")
    holder, resource = package_resources.resolve_reference(session, owner, specification.image_ref)
    if resource.type != IMAGE_TYPE:
        raise _wrong_type(holder, resource, IMAGE_TYPE)
    return ImageResource(holder, resource)


def _wrong_type(owner: ComponentVersion, resource: Resource, expected: str) -> ComponentError:
    return ComponentError(
        f"{resource_content.describe(owner, resource)} is named as an executor and has the type {resource.type!r}: an "
        f"executor has {expected}; ask the author of the package to correct the reference"
    )
