"""Read the resource `toiPackage`: the actions of a component version, and the executor of each.

Source: `ocm toi-bootstrapping`, "The toiPackage Resource"; `additionalResources` and `description` are from
the reference implementation.
"""

from collections.abc import Mapping
from typing import Any

from tweed_shim.base.records import EMPTY, Record, replace
from tweed_shim.errors import ComponentError
from tweed_shim.toi import common_fields
from tweed_shim.toi.common_fields import CredentialRequest, Image, ResourceReference, Templating
from tweed_shim.toi.specification import Field, Specification

TYPE = "toiPackage"
MEDIA_TYPES = ("application/x-yaml", "text/yaml", "application/vnd.toi.ocm.software.package.v1+yaml")
CONFIG_FILE = "configFile"
CREDENTIALS_FILE = "credentialsFile"


class ExecutorEntry(Record):
    """An entry of `executors`, which names an executor and what it is used for.

    actions: none stands for every action. An entry has resource_ref or image; image wins where it has both. config:
    None where there is none. credential_mapping: the executor's names of credentials by the package's. outputs: names
    of outputs by the names of the executor's files.
    """

    actions: tuple[str, ...] = ()
    resource_ref: ResourceReference | None = None
    image: Image | None = None
    config: Any = None
    parameter_mapping: Any = None
    credential_mapping: Mapping[str, str] = EMPTY
    outputs: Mapping[str, str] = EMPTY

    def __str__(self) -> str:
        """Return it as messages show it."""
        return f"the image {self.image}" if self.image else f"the resource {self.resource_ref}"


class AdditionalResource(Record):
    """An additional resource of a package: a reference to a resource, or the `content` itself."""

    reference: ResourceReference | None = None
    content: Any = None


class Package(Record):
    """A package. unknown: the names of fields that have no meaning."""

    executors: tuple[ExecutorEntry, ...]
    templating: Templating = common_fields.PLAIN
    credentials: Mapping[str, CredentialRequest] = EMPTY
    description: str = ""
    additional: Mapping[str, AdditionalResource] = EMPTY
    unknown: tuple[str, ...] = ()


def parse(data: bytes, *, name: str) -> Package:
    """Read a package that messages call `name`. Raises ComponentError, which lists every fault."""
    specification = Specification(data, name, ComponentError)
    root = specification.root
    fields = root.fields(
        "executors", *common_fields.TEMPLATING, "credentials", "description", "additionalResources"
    )
    if "executors" not in fields and isinstance(root.value, dict):
        root.fault("is required", "executors")
    parsed = Package(
        tuple(_executor_entry(each) for each in fields["executors"].items()) if "executors" in fields else (),
        common_fields.templating(fields),
        common_fields.credential_requests(fields),
        fields["description"].text() if "description" in fields else "",
        _additional_resources(fields.get("additionalResources")),
    )
    return replace(parsed, unknown=specification.finish("TOI package"))


def choose_entry(package: Package, action: str, *, name: str) -> ExecutorEntry:
    """Return the first entry for an action. Raises ComponentError, which lists the known ones, where there is none."""
    for entry in package.executors:
        if not entry.actions or action in entry.actions:
            return entry
    known = dict.fromkeys(each for entry in package.executors for each in entry.actions)
    hint = f"; use one that it has: {', '.join(known)}" if known else ": it has none; name another package"
    raise ComponentError(f"{name} has no action {action!r}{hint}")


def _executor_entry(field: Field) -> ExecutorEntry:
    fields = field.fields(
        "actions",
        "resourceRef",
        "image",
        "config",
        "parameterMapping",
        "credentialMapping",
        "outputs",
    )
    if "resourceRef" not in fields and "image" not in fields and isinstance(field.value, dict):
        field.fault("is required, or image", "resourceRef")
    values = {name: each.value for name, each in fields.items()}
    return ExecutorEntry(
        tuple(each.text() for each in fields["actions"].items()) if "actions" in fields else (),
        common_fields.resource_reference(fields["resourceRef"]) if "resourceRef" in fields else None,
        common_fields.image(fields["image"]) if "image" in fields else None,
        values.get("config"),
        values.get("parameterMapping"),
        fields["credentialMapping"].text_map() if "credentialMapping" in fields else {},
        _outputs(fields["outputs"]) if "outputs" in fields else {},
    )


def _outputs(field: Field) -> Mapping[str, str]:
    names = field.text_map()
    for file, output in names.items():
        common_fields.check_file_name(field, file, "an output of the executor")
        common_fields.check_file_name(field, output, "an output")
    twice = [output for output in set(names.values()) if list(names.values()).count(output) > 1]
    if twice:
        field.fault(f"gives the name {min(twice)!r} to several outputs")
    return names


def _additional_resources(field: Field | None) -> dict[str, AdditionalResource]:
    return (
        {} if field is None else {name: _additional_resource(each) for name, each in field.entries().items()}
    )


def _additional_resource(field: Field) -> AdditionalResource:
    fields = field.fields("resource", *common_fields.PATH_NAMES, "content")
    if "resource" in fields:
        inner = {key: value for key, value in field.value.items() if key != "content"}
        return AdditionalResource(common_fields.resource_reference(field.with_value(inner)))
    if "content" not in fields:
        field.fault("must have a resource or content")
        return AdditionalResource()
    return AdditionalResource(content=fields["content"].value)
