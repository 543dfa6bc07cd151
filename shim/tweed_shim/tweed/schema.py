"""The JSON Schema of a configuration, as the `inputs` of an image's metadata have it."""

from tweed_shim.data import jsonschema
from tweed_shim.data.jsonschema import Schema, SchemaFault

NAME = "the JSON Schema of the image's inputs"

# What tells a whole schema from a map of properties: keywords that hold what no property's schema can be.
_WHOLE: dict[str, type | tuple[type, ...]] = {
    "$schema": str, "$id": str, "$ref": str, "type": (str, list), "required": list,
    "allOf": list, "anyOf": list, "oneOf": list,
}  # fmt: skip


def whole(inputs: Schema) -> Schema:
    """Return the JSON Schema of a configuration, from the `inputs` of an image's metadata.

    `inputs` is a whole schema where a keyword of JSON Schema holds in it what cannot be the schema of a
    property (`type: object`, `required: [host]`, `$schema: ...`), or where its `properties` holds nothing but
    schemas. Otherwise it is a map of property name to schema, as the contract shows it, and then a
    configuration has no other names: the contract says that the field names "will be those specified in the
    JSON Schema". An input that is itself called `properties` needs a keyword that holds no schema, such as
    `type`.
    """
    if _is_whole(inputs):
        return inputs
    return {"type": "object", "properties": inputs, "additionalProperties": False}


def schema_faults(inputs: Schema) -> list[SchemaFault]:
    """Everything that keeps `inputs`, in either of its forms, from being a valid JSON Schema of a map."""
    schema = whole(inputs)
    found = jsonschema.schema_faults(schema, what=NAME)
    if "object" not in schema.get("type", "object"):
        found.append(SchemaFault(("type",), "must be object: a configuration is a map of names to values"))
    if schema is inputs:
        return found
    return [SchemaFault(fault.path[1:], fault.problem) for fault in found]


def _is_whole(inputs: Schema) -> bool:
    if any(isinstance(inputs.get(keyword), kinds) for keyword, kinds in _WHOLE.items()):
        return True
    properties = inputs.get("properties")
    return isinstance(properties, dict) and all(
        isinstance(entry, dict | bool) for entry in properties.values()
    )
