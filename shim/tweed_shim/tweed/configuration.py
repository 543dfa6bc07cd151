"""The operator's configuration of one cloud: read it, validate it by the image's `inputs`, and encode it as JSON.

A value may be a secret, so no message contains one.
"""

from collections.abc import Mapping
from typing import Any

from tweed_shim.data import documents, jsonschema, schema_worker
from tweed_shim.errors import ConfigError
from tweed_shim.tweed import schema


def read(data: bytes, *, name: str, what: str = "a configuration") -> dict[str, Any]:
    """Read JSON or YAML; a `name` that ends in `.json` has to be JSON. what: what the document is, for messages.

    Raises ConfigError, with line and column, for a document that cannot be read or is no map of names to values.
    """
    document = documents.load(data, name=name, json_only=name.lower().endswith(".json"))
    if not isinstance(document.value, dict):
        fault = "is empty" if document.value is None else "is no map"
        raise ConfigError(
            f"{name} {fault}: {what} must be a map of names to values; write {{}} where there are none"
        )
    return document.value


def require_map(value: object, *, argument: str = "configuration") -> None:
    """Raise ConfigError for an argument of the Python API that is no map of names to values."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ConfigError(
            f"argument {argument}: this {type(value).__name__} does not map names to values; "
            "use a dict whose keys are strings"
        )


def validate(configuration: bytes, inputs: Mapping[str, Any] | None) -> None:
    """Validate a configuration by the `inputs` of the image's metadata; without `inputs` every configuration is valid.

    configuration: as `encode` returns it.

    Where `inputs` is a map of properties, a name that is not in it is a fault; a whole JSON Schema decides by itself.
    Defaults are not filled in: the image gets what the operator wrote. Raises ConfigError with every fault and its
    path, and ContractError where the schema cannot be applied.
    """
    if not inputs:
        return
    faults = schema_worker.faults_in_worker(
        schema.whole(inputs), configuration, what=schema.NAME, schema_checked=True
    )
    if faults:
        raise ConfigError(
            f"the configuration does not fit what the image asks for: {jsonschema.describe_faults(faults, 'it')}; "
            "correct it and configure again"
        )


def encode(configuration: Mapping[str, Any]) -> bytes:
    """Return a configuration as JSON for the image's stdin: UTF-8, names in the given order, a newline at the end.

    Raises ConfigError for a value from the Python API that JSON cannot express.
    """
    return documents.as_json(configuration, name="the configuration").encode() + b"\n"
