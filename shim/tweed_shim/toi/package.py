"""The resource `toiPackage`: what can be done with a component version, and which executor does it.

Source: `ocm toi-bootstrapping`, "The toiPackage Resource"; `additionalResources` and `description` as the reference
implementation has them.
"""

from collections.abc import Mapping
from typing import Any

from tweed_shim.base.records import EMPTY, Record, replace
from tweed_shim.errors import ComponentError
from tweed_shim.toi import common_fields
from tweed_shim.toi.common_fields import CredentialRequest, Image, ResourceReference, Templating
from tweed_shim.toi.specification import Part, Specification

TYPE = "toiPackage"
MEDIA_TYPES = ("application/x-yaml", "text/yaml", "application/vnd.toi.ocm.software.package.v1+yaml")
CONFIG_FILE = "configFile"
CREDENTIALS_FILE = "credentialsFile"


class Executor(Record):
    """An entry of `executors`; see ExecutorSpecification.

    actions: what it is for; none stands for all. resource_ref or image is there, and image counts where both are.
    config: None where there is none. outputs: names of outputs by the names of the executor's files.
    """

    actions: tuple[str, ...] = ()
    resource_ref: ResourceReference | None = None
    image: Image | None = None
    config: Any = None
    parameter_mapping: Any = None
    credential_mapping: Mapping[str, str] = EMPTY
    outputs: Mapping[str, str] = EMPTY

    def __str__(self) -> str:
        """What people call it."""
        return f"the image {self.image}" if self.image else f"the resource {self.resource_ref}"


class AdditionalResource(Record):
    """Something that a package offers besides: a resource, or `content` itself."""

    reference: ResourceReference | None = None
    content: Any = None


class Package(Record):
    """A package. unknown: names of fields that mean nothing here."""

    executors: tuple[Executor, ...]
    templating: Templating = common_fields.PLAIN
    credentials: Mapping[str, CredentialRequest] = EMPTY
    description: str = ""
    additional: Mapping[str, AdditionalResource] = EMPTY
    unknown: tuple[str, ...] = ()


def parse(data: bytes, *, name: str) -> Package:
    """Read a package; `name` is what messages call it. Raises ComponentError, which lists every fault."""
    specification = Specification(data, name, ComponentError)
    root = specification.root
    fields = root.fields(
        "executors", *common_fields.TEMPLATING, "credentials", "description", "additionalResources"
    )
    if "executors" not in fields and isinstance(root.value, dict):
        root.fault("is required", "executors")
    found = Package(
        tuple(_executor(each) for each in fields["executors"].items()) if "executors" in fields else (),
        common_fields.templating(fields),
        common_fields.credential_requests(fields),
        fields["description"].text() if "description" in fields else "",
        _additional_resources(fields.get("additionalResources")),
    )
    return replace(found, unknown=specification.finish("TOI package"))


def choose(package: Package, action: str, *, name: str) -> Executor:
    """The first executor for an action. Raises ComponentError, which lists the actions, where there is none."""
    for executor in package.executors:
        if not executor.actions or action in executor.actions:
            return executor
    known = dict.fromkeys(each for executor in package.executors for each in executor.actions)
    raise ComponentError(f"{name} has no action {action!r}: it has {', '.join(known) or 'none at all'}")


def _executor(part: Part) -> Executor:
    fields = part.fields(
        "actions",
        "resourceRef",
        "image",
        "config",
        "parameterMapping",
        "credentialMapping",
        "outputs",
    )
    if "resourceRef" not in fields and "image" not in fields and isinstance(part.value, dict):
        part.fault("is required, or image", "resourceRef")
    values = {name: each.value for name, each in fields.items()}
    return Executor(
        tuple(each.text() for each in fields["actions"].items()) if "actions" in fields else (),
        common_fields.resource_reference(fields["resourceRef"]) if "resourceRef" in fields else None,
        common_fields.image(fields["image"]) if "image" in fields else None,
        values.get("config"),
        values.get("parameterMapping"),
        fields["credentialMapping"].texts() if "credentialMapping" in fields else {},
        _outputs(fields["outputs"]) if "outputs" in fields else {},
    )


def _outputs(part: Part) -> Mapping[str, str]:
    found = part.texts()
    for file, output in found.items():
        common_fields.file_name(part, file, "an output of the executor")
        common_fields.file_name(part, output, "an output")
    twice = [output for output in set(found.values()) if list(found.values()).count(output) > 1]
    if twice:
        part.fault(f"gives the name {min(twice)!r} to several outputs")
    return found


def _additional_resources(part: Part | None) -> dict[str, AdditionalResource]:
    return {} if part is None else {name: _additional_resource(each) for name, each in part.entries().items()}


def _additional_resource(part: Part) -> AdditionalResource:
    fields = part.fields("resource", *common_fields.PATHS, "content")
    if "resource" in fields:
        inner = {key: value for key, value in part.value.items() if key != "content"}
        return AdditionalResource(common_fields.resource_reference(part.instead(inner)))
    if "content" not in fields:
        part.fault("must have a resource or content")
        return AdditionalResource()
    return AdditionalResource(content=fields["content"].value)
