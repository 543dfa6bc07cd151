"""The resource `toiExecutor`: what an image can do as an executor, and what it asks for.

Source: `ocm toi-bootstrapping`, "The toiExecutor Resource"; `actions` as the reference implementation has it.
"""

from collections.abc import Mapping

from tweed_shim.base.records import EMPTY, Record, replace
from tweed_shim.errors import ComponentError
from tweed_shim.toi import common_fields
from tweed_shim.toi.common_fields import CredentialRequest, Image, ResourceReference, Templating
from tweed_shim.toi.package import MEDIA_TYPES as PACKAGE_MEDIA_TYPES
from tweed_shim.toi.specification import Part, Specification

TYPE = "toiExecutor"
MEDIA_TYPES = (*PACKAGE_MEDIA_TYPES, "application/vnd.toi.ocm.software.executor.v1+yaml")


class ExecutorSpecification(Record):
    """What is known of an executor; of a plain image it is nothing.

    image_ref or image is there in a resource, and image counts where both are. actions: what it can do, None where
    it does not say. outputs: the descriptions of the files that it may write, by their names; None likewise.
    """

    image_ref: ResourceReference | None = None
    image: Image | None = None
    actions: tuple[str, ...] | None = None
    templating: Templating = common_fields.PLAIN
    credentials: Mapping[str, CredentialRequest] = EMPTY
    outputs: Mapping[str, str] | None = None
    unknown: tuple[str, ...] = ()


def parse(data: bytes, *, name: str) -> ExecutorSpecification:
    """Read a specification; `name` is what messages call it. Raises ComponentError, which lists every fault."""
    specification = Specification(data, name, ComponentError)
    root = specification.root
    fields = root.fields("imageRef", "image", "actions", *common_fields.TEMPLATING, "credentials", "outputs")
    if "imageRef" not in fields and "image" not in fields and isinstance(root.value, dict):
        root.fault("is required, or image", "imageRef")
    found = ExecutorSpecification(
        common_fields.resource_reference(fields["imageRef"]) if "imageRef" in fields else None,
        common_fields.image(fields["image"]) if "image" in fields else None,
        tuple(each.text() for each in fields["actions"].items()) or None if "actions" in fields else None,
        common_fields.templating(fields),
        common_fields.credential_requests(fields),
        _outputs(fields["outputs"]) if "outputs" in fields else None,
    )
    return replace(found, unknown=specification.finish("TOI executor"))


def _outputs(part: Part) -> dict[str, str]:
    found = {}
    for name, each in part.entries(empty=True).items():
        common_fields.file_name(part, name, "an output")
        fields = each.fields("description")
        found[name] = fields["description"].text() if "description" in fields else ""
    return found
