"""The fields that specifications of packages and of executors have in common.

Source: `ocm toi-bootstrapping`, the sections named like the classes.
"""

from collections.abc import Mapping
from typing import Any

from tweed_shim.base.records import EMPTY, Record
from tweed_shim.ocm import element_identity
from tweed_shim.ocm.component_descriptor import Identity
from tweed_shim.toi.specification import Field

TYPE = "type"
# The documentation of the reference implementation has the first name, its code reads the second.
PATH_NAMES = ("resourcePath", "referencePath")
TEMPLATING = ("configTemplate", "configScheme", "templateLibraries")


class ResourceReference(Record):
    """A reference to a resource. `path` leads to its component version, by the identities of component references."""

    resource: Identity
    path: tuple[Identity, ...] = ()

    def __str__(self) -> str:
        """Return it as messages show it."""
        return " -> ".join(f"({element_identity.describe(each)})" for each in (*self.path, self.resource))


class Image(Record):
    """An image that a specification names directly, which is meant for development."""

    ref: str
    digest: str = ""

    def __str__(self) -> str:
        """Return the reference as it was written, with the digest."""
        return f"{self.ref}@{self.digest}" if self.digest else self.ref


class Templating(Record):
    """How a configuration is made from input: by a spiff template, after a JSON Schema has validated the input.

    None stands for no template and no scheme. libraries: further stubs of the template.
    """

    template: Any = None
    scheme: Mapping[str, Any] | None = None
    libraries: tuple[ResourceReference, ...] = ()


PLAIN = Templating()


class CredentialRequest(Record):
    """Credentials that a package or an executor asks for. properties: what each property means, by its name."""

    description: str = ""
    properties: Mapping[str, str] = EMPTY
    consumer_id: Identity = EMPTY
    optional: bool = False


def resource_reference(field: Field) -> ResourceReference:
    """Return a ResourceReference. A list of one is taken as well, as the specification's table has it."""
    if isinstance(field.value, list):
        items = list(field.items())
        if len(items) != 1:
            field.fault("must name one resource")
            return ResourceReference({})
        field = items[0]
    fields = field.fields("resource", *PATH_NAMES)
    paths = [tuple(map(_identity, fields[name].items())) for name in PATH_NAMES if name in fields]
    if len(paths) > 1 and paths[0] != paths[1]:
        field.fault(f"has two paths that differ, {' and '.join(PATH_NAMES)}: one is enough")
    path = paths[0] if paths else ()
    if "resource" not in fields:
        field.fault("is required", "resource")
        return ResourceReference({}, path)
    return ResourceReference(_identity(fields["resource"]), path)


def _identity(field: Field) -> Identity:
    attributes = field.text_map()
    if not attributes.get(element_identity.NAME) and isinstance(field.value, dict):
        field.fault("is required", element_identity.NAME)
    return attributes


def image(field: Field) -> Image:
    """Return an image that is named directly."""
    fields = field.fields("ref", "digest")
    if "ref" not in fields:
        field.fault("is required", "ref")
        return Image("")
    return Image(fields["ref"].text(), fields["digest"].text() if "digest" in fields else "")


def templating(fields: Mapping[str, Field]) -> Templating:
    """Return the fields TEMPLATING of a specification."""
    values = {name: each.value for name, each in fields.items()}
    scheme = values.get("configScheme")
    if isinstance(scheme, bool):
        # JSON Schema Core, draft 7, section 4.3.2: true allows everything, false nothing.
        scheme = {} if scheme else {"not": {}}
    elif not isinstance(scheme, dict | None):
        fields["configScheme"].fault("must be a JSON Schema: a map, true or false")
        scheme = None
    libraries = fields["templateLibraries"].items() if "templateLibraries" in fields else ()
    return Templating(
        values.get("configTemplate"), scheme, tuple(resource_reference(each) for each in libraries)
    )


def credential_requests(fields: Mapping[str, Field]) -> dict[str, CredentialRequest]:
    """Return the field `credentials` of a specification."""
    if "credentials" not in fields:
        return {}
    return {
        name: _credential_request(each) for name, each in fields["credentials"].entries(empty=True).items()
    }


def _credential_request(field: Field) -> CredentialRequest:
    fields = field.fields("description", "properties", "consumerId", "optional")
    return CredentialRequest(
        fields["description"].text() if "description" in fields else "",
        fields["properties"].text_map() if "properties" in fields else {},
        _consumer_id(fields["consumerId"]) if "consumerId" in fields else {},
        fields["optional"].boolean() if "optional" in fields else False,
    )


def _consumer_id(field: Field) -> Identity:
    """Return the identity of a consumer of credentials: its type, and at least one more attribute."""
    attributes = field.text_map()
    if isinstance(field.value, dict) and (not attributes.get(TYPE) or len(attributes) < 2):
        field.fault("must have a type and at least one attribute more")
    return attributes


def check_file_name(field: Field, name: str, what: str) -> None:
    """Note a fault where a name cannot be that of a file; `what` says what it names."""
    if not name or "/" in name or "\0" in name or name in (".", ".."):
        field.fault(f"has {what} whose name cannot be a file's: {name[:60]!r}")
