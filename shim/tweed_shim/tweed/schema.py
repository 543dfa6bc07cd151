"""The JSON Schema of a configuration, or of a pattern's inputs, as the `inputs` of an image's metadata have it."""

from tweed_shim.data import jsonschema
from tweed_shim.data.jsonschema import Schema, SchemaFault

NAME = "the JSON Schema of the image's inputs"

# A map with one of these keywords and a value of its type is a whole schema. In a map of properties each value is a
# schema: a map or a bool.
_WHOLE: dict[str, type | tuple[type, ...]] = {
    "$schema": str, "$id": str, "$ref": str, "type": (str, list), "required": list,
    "allOf": list, "anyOf": list, "oneOf": list,
}  # fmt: skip


def whole(inputs: Schema) -> Schema:
    """Return the JSON Schema of a configuration or of a pattern's inputs, from the `inputs` of an image's metadata.

    `inputs` is a whole schema where a keyword of JSON Schema in it has a value that cannot be the schema of a property
    (`type: object`, `required: [host]`, `$schema: ...`), or where its `properties` contains nothing but schemas.
    Otherwise it is a map of property names to schemas, as in the contract's example. Then a configuration has no other
    names: the contract says that the field names "will be those specified in the JSON Schema". An input that is itself
    called `properties` needs a keyword beside it whose value is no schema, such as `type`.
    """
    if _is_whole(inputs):
        return inputs
    return {"type": "object", "properties": inputs, "additionalProperties": False}


def schema_faults(inputs: Schema) -> list[SchemaFault]:
    """Return the faults that keep `inputs`, in either of its forms, from being a valid JSON Schema of a map."""
    schema = whole(inputs)
    faults = jsonschema.schema_faults(schema, what=NAME)
    if "object" not in schema.get("type", "object"):
        faults.append(SchemaFault(("type",), "must be object: inputs are a map of names to values"))
    if schema is inputs:
        return faults
    return [SchemaFault(fault.path[1:], fault.problem) for fault in faults]


def _is_whole(inputs: Schema) -> bool:
    if any(isinstance(inputs.get(keyword), kinds) for keyword, kinds in _WHOLE.items()):
        return True
    properties = inputs.get("properties")
    return isinstance(properties, dict) and all(
        isinstance(entry, dict | bool) for entry in properties.values()
    )
