"""The inputs of a pattern's instance: the operator's configuration of the plan, with the user's parameters over it.

The image gets them as one JSON object in the file $INPUTS. A value may be a secret, so no message contains one.
"""

from collections.abc import Mapping
from typing import Any, Literal

from tweed_shim.data import document_paths, documents, schema_worker
from tweed_shim.data.jsonschema import SchemaFault
from tweed_shim.errors import ConfigError
from tweed_shim.tweed import configuration, schema

# What messages call the two documents.
Source = Literal["the plan", "the inputs"]
PLAN: Source = "the plan"
INPUTS: Source = "the inputs"

MAX_BYTES = documents.MAX_BYTES


def read(data: bytes, source: Source, *, name: str) -> dict[str, Any]:
    """Read the document of a plan or of inputs as a configuration is read: JSON or YAML.

    name: its file; one that ends in `.json` has to be JSON. Raises ConfigError, with line and column.
    """
    return configuration.read(data, name=name, what=source)


def merge(plan: Mapping[str, Any] | None, inputs: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the plan with the inputs merged over it: maps deeply, all else is replaced. None is an empty map.

    The names of the plan come first, in its order. The arguments stay as they are. Raises ConfigError where one of them
    is no map, or exceeds the limits of a document (4 MiB, 100 levels, 100,000 values).
    """
    return _merged(_as_read(plan, PLAN), _as_read(inputs, INPUTS))


def _as_read(value: Mapping[str, Any] | None, source: Source) -> dict[str, Any]:
    """Return a value as it would be read from a document, whose limits and types it then has."""
    if value is None:
        return {}
    configuration.require_map(value, argument="plan" if source == PLAN else "inputs")
    text = _as_json(value, source)
    read_back: dict[str, Any] = documents.load(text, name=source, json_only=True).value
    return read_back


def _merged(plan: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
    merged = dict(plan)
    for name, value in inputs.items():
        earlier = merged.get(name)
        if isinstance(earlier, dict) and isinstance(value, dict):
            value = _merged(earlier, value)
        merged[name] = value
    return merged


def encode(merged: Mapping[str, Any]) -> bytes:
    """Return merged inputs as the JSON of the file $INPUTS: UTF-8, names in their order, a newline at the end.

    Raises ConfigError for more than MAX_BYTES, and for a value that JSON cannot express.
    """
    return _as_json(merged, INPUTS) + b"\n"


def _as_json(value: Mapping[str, Any], source: Source) -> bytes:
    text = documents.as_json(dict(value), name=source).encode()
    if len(text) > MAX_BYTES:
        raise ConfigError(
            f"{PLAN} and {INPUTS} have more than {MAX_BYTES >> 20} MiB together, which is the most that an image gets; "
            "make them smaller and provision again"
        )
    return text


def validate(
    encoded: bytes,
    metadata_inputs: Mapping[str, Any] | None,
    *,
    plan: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Any] | None = None,
) -> None:
    """Validate merged inputs by the `inputs` of the image's metadata; without `inputs` everything is valid.

    encoded: as `encode` returns them. plan, inputs: what was merged; each fault says which of the two set the value.
    Raises ConfigError with every fault and its path, and ContractError where the schema cannot be applied.
    """
    if not metadata_inputs:
        return
    faults = schema_worker.faults_in_worker(
        schema.whole(metadata_inputs), encoded, what=schema.NAME, value_name=INPUTS, schema_checked=True
    )
    if faults:
        problems = [_problem(fault, dict(plan or {}), dict(inputs or {})) for fault in faults]
        raise ConfigError(
            f"{INPUTS} do not fit what the image asks for: {document_paths.join_problems(problems)}; correct them "
            "and provision again"
        )


def _problem(fault: SchemaFault, plan: dict[str, Any], inputs: dict[str, Any]) -> str:
    path = document_paths.path_name(fault.path) if fault.path else "the whole"
    # Without a plan there is nothing to tell apart.
    source = _source(fault.path, plan, inputs) if plan else None
    return f"{path} {fault.problem}" + (f" (set by {source})" if source else "")


def _source(path: tuple[str | int, ...], plan: Any, inputs: Any) -> Source | None:
    """Return which document set the value at `path` of the merged inputs; None for a value of neither, or of both."""
    for number, key in enumerate(path):
        if not (isinstance(plan, dict) and isinstance(inputs, dict)):
            # Only maps are merged, so these inputs replaced whatever the plan has here.
            return INPUTS if _has(inputs, path[number:]) else None
        if key not in inputs:
            return PLAN if _has(plan, path[number:]) else None
        if key not in plan:
            return INPUTS if _has(inputs, path[number:]) else None
        plan, inputs = plan[key], inputs[key]
    return None if isinstance(plan, dict) and isinstance(inputs, dict) else INPUTS


def _has(value: Any, path: tuple[str | int, ...]) -> bool:
    for key in path:
        is_there = key in value if isinstance(value, dict) else isinstance(key, int) and key < len(value)
        if not is_there:
            return False
        value = value[key]
    return True
