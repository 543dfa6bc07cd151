"""Compare two documents entry by entry, as spiff's `diff` does for deployment manifests.

Entries of a list that are maps with a `name` are compared by name, others by position. A list of such entries can be
compared with a map. In the list `jobs` the order of the entries counts too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tweed_shim.base.records import Record
from tweed_shim.spiff.tree.values import Value


class Missing:
    """There is no entry here in one of the documents."""


MISSING: Final = Missing()


class Difference(Record):
    """A path where two documents differ, and the values there; MISSING where a document has none."""

    path: tuple[str, ...]
    one: Value
    other: Value


def differences(one: Value, other: Value, path: tuple[str, ...] = ()) -> Iterator[Difference]:
    """Compare two documents of plain data, and return their differences; the keys of maps are in order."""
    if isinstance(one, dict) and isinstance(other, list):
        other = _by_name(other)
    if isinstance(one, dict) and isinstance(other, dict):
        yield from _of_maps(one, other, path)
    elif isinstance(one, list) and isinstance(other, list):
        jobs = (_jobs(one), _jobs(other)) if path == ("jobs",) else (None, None)
        if jobs[0] is not None and jobs[1] is not None:
            yield from _of_maps(jobs[0], jobs[1], path)
        else:
            yield from _of_lists(one, other, path)
    elif type(one) is not type(other) or one != other:
        yield Difference(path, one, other)


def _of_maps(one: dict[str, Value], other: dict[str, Value], path: tuple[str, ...]) -> Iterator[Difference]:
    for key in sorted(one.keys() | other.keys()):
        if key in one and key in other:
            yield from differences(one[key], other[key], (*path, key))
        else:
            yield Difference((*path, key), one.get(key, MISSING), other.get(key, MISSING))


def _of_lists(one: list[Value], other: list[Value], path: tuple[str, ...]) -> Iterator[Difference]:
    named = {name: entry for entry in reversed(other) if (name := _name(entry)) is not None}
    for index, entry in enumerate(one):
        name = _name(entry)
        if name is not None and name in named:
            yield from differences(entry, named[name], (*path, name))
        elif index < len(other):
            yield from differences(entry, other[index], (*path, f"[{index}]"))
        else:
            yield Difference((*path, f"[{index}]"), entry, MISSING)
    for index, entry in enumerate(other[len(one) :], len(one)):
        yield Difference((*path, f"[{index}]"), MISSING, entry)


def _name(entry: Value) -> str | None:
    if isinstance(entry, dict) and "<<" not in entry and "<<<" not in entry:
        name = entry.get("name")
        return name if isinstance(name, str) else None
    return None


def _by_name(entries: list[Value]) -> Value:
    names = [_name(entry) for entry in entries]
    if None in names:
        return entries
    return {
        name: {key: value for key, value in entry.items() if key != "name"}
        for name, entry in zip(names, entries, strict=True)
    }


def _jobs(entries: list[Value]) -> dict[str, Value] | None:
    names = [_name(entry) for entry in entries]
    if None in names:
        return None
    return {
        str(name): {**entry, "index": index}
        for index, (name, entry) in enumerate(zip(names, entries, strict=True))
    }
