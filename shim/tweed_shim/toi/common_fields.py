"""What the specifications of packages and of executors have in common.

Source: `ocm toi-bootstrapping`, the sections named like the classes.
"""

from collections.abc import Mapping
from typing import Any

from tweed_shim.base.records import EMPTY, Record
from tweed_shim.ocm import identity
from tweed_shim.ocm.descriptor import Identity
from tweed_shim.toi.specification import Part

TYPE = "type"
# The first is what the documentation of the reference says, the second what the reference reads.
PATHS = ("resourcePath", "referencePath")


class ResourceReference(Record):
    """A resource of a component version; `path` leads there from another one, by the identities of references."""

    resource: Identity
    path: tuple[Identity, ...] = ()

    def __str__(self) -> str:
        """What people call it."""
        return " -> ".join(f"({identity.show(each)})" for each in (*self.path, self.resource))


class Image(Record):
    """An image that is named directly, for development."""

    ref: str
    digest: str = ""

    def __str__(self) -> str:
        """The reference as it was written, and the digest."""
        return f"{self.ref}@{self.digest}" if self.digest else self.ref


class Templating(Record):
    """How a configuration is made of what is given: by a spiff template, held against a JSON Schema before.

    None stands for no template and no scheme. libraries: further stubs.
    """

    template: Any = None
    scheme: Mapping[str, Any] | None = None
    libraries: tuple[ResourceReference, ...] = ()


PLAIN = Templating()


class CredentialRequest(Record):
    """Credentials that are asked for. properties: what they consist of, each with its meaning."""

    description: str = ""
    properties: Mapping[str, str] = EMPTY
    consumer_id: Identity = EMPTY
    optional: bool = False


def resource_reference(part: Part) -> ResourceReference:
    """A ResourceReference; a list of one, as the specification's table has it, will do."""
    if isinstance(part.value, list):
        several = list(part.items())
        if len(several) != 1:
            part.fault("must name one resource")
            return ResourceReference({})
        part = several[0]
    fields = part.fields("resource", *PATHS)
    paths = [tuple(map(_identity, fields[name].items())) for name in PATHS if name in fields]
    if len(paths) > 1 and paths[0] != paths[1]:
        part.fault(f"has two paths that differ, {' and '.join(PATHS)}: one is enough")
    path = paths[0] if paths else ()
    if "resource" not in fields:
        part.fault("is required", "resource")
        return ResourceReference({}, path)
    return ResourceReference(_identity(fields["resource"]), path)


def _identity(part: Part) -> Identity:
    found = part.texts()
    if not found.get(identity.NAME) and isinstance(part.value, dict):
        part.fault("is required", identity.NAME)
    return found


def image(part: Part) -> Image:
    """A directly named image."""
    fields = part.fields("ref", "digest")
    if "ref" not in fields:
        part.fault("is required", "ref")
        return Image("")
    return Image(fields["ref"].text(), fields["digest"].text() if "digest" in fields else "")


TEMPLATING = ("configTemplate", "configScheme", "templateLibraries")


def templating(fields: Mapping[str, Part]) -> Templating:
    """The fields of TEMPLATING."""
    values = {name: each.value for name, each in fields.items()}
    scheme = values.get("configScheme")
    if isinstance(scheme, bool):
        # JSON Schema Core, draft 7, section 4.3.2.
        scheme = {} if scheme else {"not": {}}
    elif not isinstance(scheme, dict | None):
        fields["configScheme"].fault("must be a JSON Schema: a map, true or false")
        scheme = None
    libraries = fields["templateLibraries"].items() if "templateLibraries" in fields else ()
    return Templating(
        values.get("configTemplate"), scheme, tuple(resource_reference(each) for each in libraries)
    )


def credential_requests(fields: Mapping[str, Part]) -> dict[str, CredentialRequest]:
    """The field `credentials`."""
    if "credentials" not in fields:
        return {}
    return {
        name: _credential_request(each) for name, each in fields["credentials"].entries(empty=True).items()
    }


def _credential_request(part: Part) -> CredentialRequest:
    fields = part.fields("description", "properties", "consumerId", "optional")
    return CredentialRequest(
        fields["description"].text() if "description" in fields else "",
        fields["properties"].texts() if "properties" in fields else {},
        consumer_id(fields["consumerId"]) if "consumerId" in fields else {},
        fields["optional"].flag() if "optional" in fields else False,
    )


def consumer_id(part: Part) -> Identity:
    """The identity of a consumer of credentials: its type, and something more."""
    found = part.texts()
    if isinstance(part.value, dict) and (not found.get(TYPE) or len(found) < 2):
        part.fault("must have a type and at least one attribute more")
    return found


def file_name(part: Part, name: str, what: str) -> None:
    """Note it as a fault where a name of an output cannot be the name of a file."""
    if not name or "/" in name or "\0" in name or name in (".", ".."):
        part.fault(f"has {what} that is no name of a file: {name[:60]!r}")
