"""Read the resource `toiExecutor`: the actions of an executor image, its outputs, and the credentials it asks for.

Source: `ocm toi-bootstrapping`, "The toiExecutor Resource"; `actions` is from the reference implementation.
"""

from collections.abc import Mapping

from tweed_shim.base.records import EMPTY, Record, replace
from tweed_shim.errors import ComponentError
from tweed_shim.toi import common_fields
from tweed_shim.toi.common_fields import CredentialRequest, Image, ResourceReference, Templating
from tweed_shim.toi.package import MEDIA_TYPES as PACKAGE_MEDIA_TYPES
from tweed_shim.toi.specification import Field, Specification

TYPE = "toiExecutor"
MEDIA_TYPES = (*PACKAGE_MEDIA_TYPES, "application/vnd.toi.ocm.software.executor.v1+yaml")


class ExecutorSpecification(Record):
    """The specification of an executor; an empty one where the executor is a plain image.

    A resource has image_ref or image; image wins where it has both. actions: what the image can do, None where that is
    not restricted. outputs: the descriptions of the files that it may write, by file name; None where it does not say.
    unknown: the names of fields that have no meaning.
    """

    image_ref: ResourceReference | None = None
    image: Image | None = None
    actions: tuple[str, ...] | None = None
    templating: Templating = common_fields.PLAIN
    credentials: Mapping[str, CredentialRequest] = EMPTY
    outputs: Mapping[str, str] | None = None
    unknown: tuple[str, ...] = ()


def parse(data: bytes, *, name: str) -> ExecutorSpecification:
    """Read a specification that messages call `name`. Raises ComponentError, which lists every fault."""
    specification = Specification(data, name, ComponentError)
    root = specification.root
    fields = root.fields("imageRef", "image", "actions", *common_fields.TEMPLATING, "credentials", "outputs")
    if "imageRef" not in fields and "image" not in fields and isinstance(root.value, dict):
        root.fault("is required, or image", "imageRef")
    parsed = ExecutorSpecification(
        common_fields.resource_reference(fields["imageRef"]) if "imageRef" in fields else None,
        common_fields.image(fields["image"]) if "image" in fields else None,
        tuple(each.text() for each in fields["actions"].items()) or None if "actions" in fields else None,
        common_fields.templating(fields),
        common_fields.credential_requests(fields),
        _outputs(fields["outputs"]) if "outputs" in fields else None,
    )
    return replace(parsed, unknown=specification.finish("TOI executor"))


def _outputs(field: Field) -> dict[str, str]:
    outputs = {}
    for name, each in field.entries(empty=True).items():
        common_fields.check_file_name(field, name, "an output")
        fields = each.fields("description")
        outputs[name] = fields["description"].text() if "description" in fields else ""
    return outputs
