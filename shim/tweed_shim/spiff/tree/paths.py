"""Paths through a tree: their steps, what they lead to, and how they are written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tweed_shim.spiff.tree.nodes import Node, Path

_INDEX = re.compile(r"\[(-?[0-9]{1,18})\]")
_INDICES = re.compile(r"\[[^\[]*|[^\[]+")


def step(here: Node, name: str, raw: bool, control: bool) -> Node | None:
    """The entry of a map or list. `raw` looks into incomplete ones as well."""
    value = here.value
    if isinstance(value, dict):
        return value.get(name) if raw or here.complete(control) else None
    if isinstance(value, list):
        return _list_step(here, name, raw, control) if raw or here.complete(control) else None
    return None


def _list_step(here: Node, name: str, raw: bool, control: bool) -> Node | None:
    index = _INDEX.fullmatch(name)
    if index:
        position, entries = int(index[1]), here.value
        return entries[position] if -len(entries) <= position < len(entries) else None
    key = here.note.key_name or "name"
    split = name.find(":")
    if split > 0:
        key, name = name[:split], name[split + 1 :]
    return here.by_name(key, raw, control).get(name)


def find(root: Node, path: Iterable[str], control: bool, *, raw: bool = False) -> Node | None:
    """What a path leads to."""
    here: Node | None = root
    for name in path:
        here = step(here, name, raw, control) if here is not None else None
        if here is None:
            return None
    return here


def components(text: str, *, leading: bool) -> Path:
    """The steps of a path such as `foo.[0].bar`; `leading` keeps the empty one before a leading dot."""
    path: list[str] = []
    *parts, last = text.split(".")
    for part in parts:
        path += _INDICES.findall(part) or ([""] if leading else [])
    return (*path, *_INDICES.findall(last))


def joined(path: Sequence[str]) -> str:
    """A path as messages show it."""
    return ".".join(path)
