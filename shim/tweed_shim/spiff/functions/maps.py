"""Maps: their keys, and maps made of lists."""

from __future__ import annotations

from tweed_shim.spiff.functions.encodings import to_bytes
from tweed_shim.spiff.functions.registry import Call, function
from tweed_shim.spiff.tree.values import Fault, Value, simple_text


@function("keys", 1, 1)
def keys(call: Call, value: Value) -> Value:
    """Return the keys of a map in order."""
    if not isinstance(value, dict):
        raise Fault("map argument required for keys")
    return sorted(value, key=to_bytes)


@function("makemap")
def makemap(call: Call, *arguments: Value) -> Value:
    """Make a map of a list of maps with `key` and `value`, or of keys and values in turn."""
    if len(arguments) == 1:
        return _of_entries(arguments[0])
    if len(arguments) % 2:
        raise Fault("mapentry takes one or two arguments")
    result = {}
    for position in range(0, len(arguments), 2):
        key = simple_text(arguments[position])
        if key is None:
            raise Fault(f"invalid type for key value of argument pair {position // 2}")
        result[key] = arguments[position + 1]
    return result


def _of_entries(entries: Value) -> Value:
    if not isinstance(entries, list):
        raise Fault("single argument flavor of mapentry requires a list")
    result = {}
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise Fault(f"entry {position} is no map entry")
        if "key" not in entry:
            raise Fault(f"entry {position} has no entry 'key'")
        key = simple_text(entry["key"])
        if key is None:
            raise Fault(f"invalid type for 'key' value of entry {position}")
        if "value" not in entry:
            raise Fault(f"entry {position} has no entry 'value'")
        result[key] = entry["value"]
    return result


@function("list_to_map", 1, 2)
def list_to_map(call: Call, entries: Value, key: Value = None) -> Value:
    """Make a map of a list's maps: each under the value of its key field, without that field."""
    if not isinstance(entries, list):
        raise Fault("list_to_map requires a list as first argument")
    name = key if key is not None else call.key_name or "name"
    if not isinstance(name, str):
        raise Fault("second argument of list_to_map must be a key name")
    result = {}
    for entry in entries:
        if not isinstance(entry, dict):
            raise Fault("list entries must by maps")
        if name not in entry:
            raise Fault(f"key field '{name}' not found")
        if not isinstance(entry[name], str):
            raise Fault(f"key field '{name}' contains no string value")
        result[entry[name]] = {field: value for field, value in entry.items() if field != name}
    return result
