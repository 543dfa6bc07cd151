"""Which executor does an action, and which image it is."""

from collections.abc import Callable

from tweed_shim.base.records import Record
from tweed_shim.errors import ComponentError
from tweed_shim.ocm import identity
from tweed_shim.ocm import resources as ocm_resources
from tweed_shim.ocm.descriptor import Resource
from tweed_shim.ocm.repository import ComponentVersion
from tweed_shim.ocm.session import Session
from tweed_shim.toi import executor_spec, package, package_resources
from tweed_shim.toi.common_fields import Image
from tweed_shim.toi.executor_spec import ExecutorSpecification
from tweed_shim.toi.package import Executor, Package

IMAGE_TYPE = "ociImage"


class ImageResource(Record):
    """An image that is a resource of a component version."""

    owner: ComponentVersion
    resource: Resource

    def __str__(self) -> str:
        """Where it is from, or which resource it is."""
        reference = self.resource.access.get("imageReference")
        return reference if isinstance(reference, str) else ocm_resources.describe(self.owner, self.resource)


class Execution(Record):
    """An action, the entry of the package that is for it, and what that leads to.

    owner: what the references of the executor's specification are relative to.
    """

    action: str
    executor: Executor
    specification: ExecutorSpecification
    owner: ComponentVersion
    image: Image | ImageResource


def determine(
    session: Session,
    version: ComponentVersion,
    found: Package,
    action: str,
    *,
    name: str,
    warn: Callable[[str], None],
) -> Execution:
    """What an action of a package is carried out by.

    Raises ComponentError where there is no such action, or the executor is not what the package takes it for.
    """
    executor = package.choose(found, action, name=name)
    owner, specification, image = resolve(session, version, executor, name=name, warn=warn)
    if specification.actions is not None and action not in specification.actions:
        raise ComponentError(
            f"{executor} that {name} uses has no action {action!r}: it has {', '.join(specification.actions)}"
        )
    if specification.outputs is not None:
        missing = [each for each in executor.outputs if each not in specification.outputs]
        if missing:
            raise ComponentError(
                f"{name} maps outputs that {executor} does not declare: {', '.join(missing)}; it declares "
                f"{', '.join(specification.outputs) or 'none'}"
            )
    return Execution(action, executor, specification, owner, image)


def resolve(
    session: Session,
    version: ComponentVersion,
    executor: Executor,
    *,
    name: str,
    warn: Callable[[str], None],
) -> tuple[ComponentVersion, ExecutorSpecification, Image | ImageResource]:
    """The owner of an entry's executor, its specification, and its image. Raises ComponentError."""
    if executor.image:
        return version, ExecutorSpecification(), executor.image
    if executor.resource_ref is None:
        raise ComponentError(
            f"{name} has an entry of executors without resourceRef and image: its author has to add one"
        )
    owner, resource = package_resources.referenced(session, version, executor.resource_ref)
    if resource.type == IMAGE_TYPE:
        return owner, ExecutorSpecification(), ImageResource(owner, resource)
    if resource.type != executor_spec.TYPE:
        raise _wrong_type(owner, resource, f"{IMAGE_TYPE} and {executor_spec.TYPE}")
    what = f"the executor {identity.show(identity.identity(resource, owner.descriptor.resources))} of {owner}"
    data = package_resources.specification(session, owner, resource, executor_spec.MEDIA_TYPES, warn)
    specification = executor_spec.parse(data, name=what)
    return owner, specification, _image_of(session, owner, specification, what)


def _image_of(
    session: Session, owner: ComponentVersion, specification: ExecutorSpecification, what: str
) -> Image | ImageResource:
    if specification.image:
        return specification.image
    if specification.image_ref is None:
        raise ComponentError(f"{what} has neither imageRef nor image: its author has to add one")
    holder, resource = package_resources.referenced(session, owner, specification.image_ref)
    if resource.type != IMAGE_TYPE:
        raise _wrong_type(holder, resource, IMAGE_TYPE)
    return ImageResource(holder, resource)


def _wrong_type(owner: ComponentVersion, resource: Resource, wanted: str) -> ComponentError:
    return ComponentError(
        f"{ocm_resources.describe(owner, resource)} is named as an executor and has the type {resource.type!r}: an "
        f"executor has {wanted}"
    )
