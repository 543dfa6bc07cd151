"""The nodes of the tree that is processed, and what is noted on them.

A node is never changed: a pass makes another node, or returns the same one where nothing is different. That a pass
returns the same objects is how the end of all passes is recognized. The value of a map is a dict of nodes, the value of
a list a list of nodes; an expression, a lambda and a template are values as well.
"""

from __future__ import annotations

from typing import Any, Protocol

from tweed_shim.base.records import Record, replace
from tweed_shim.spiff.tree.values import Value, float_text, shorten

Path = tuple[str, ...]

MERGE_KEYS = ("<<", "<<<")

# What markers say of a node, and what the engine adds to it. Each is a bit of `Note.flags`. They are tested for every
# node in every pass: plain integers are several times as fast as an IntFlag.
TEMPORARY, LOCAL, INJECT, STATE, DEFAULT, DYNAMIC, INJECTED, IMPLIED, NO_MERGE = [
    1 << bit for bit in range(9)
]


class Issue(Record):
    """Why a node has no value. `origin` is the path where that arose; `sequence`: `nested` are causes of causes."""

    text: str = ""
    origin: Path | None = None
    nested: tuple[Issue, ...] = ()
    sequence: bool = False


NO_ISSUE = Issue()


class Note(Record):
    """What is noted on a node beside its value."""

    redirect: Path | None = None
    replace: bool = False
    preferred: bool = False
    merged: bool = False
    key_name: str = ""
    error: bool = False
    failed: bool = False
    undefined: bool = False
    issue: Issue = NO_ISSUE
    tag: str = ""
    flags: int = 0


PLAIN = Note()


class Resolver(Protocol):
    """Looks up names: what a node, a lambda or a template needs of the environment that it was written in."""

    def reference(self, path: Path) -> Node | None:
        """Return what a relative path leads to, None where nothing has its first name."""


class Node:
    """A value, the document it comes from, and what is noted on it."""

    __slots__ = (
        "_complete",
        "_inert",
        "_names",
        "_resolved",
        "note",
        "resolver",
        "settled",
        "source",
        "template",
        "value",
    )

    def __init__(
        self,
        value: Value,
        source: str,
        note: Note = PLAIN,
        template: Template | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        self.value = value
        self.source = source
        self.note = note
        # The template that a dynamic node is made from in each merge.
        self.template = template
        # What resolves the names behind `_`, where the node is what `_` stands for.
        self.resolver = resolver
        self.settled: object = None
        self._complete: bool | None = None
        self._resolved: bool | None = None
        self._inert: bool | None = None
        self._names: dict[tuple[str, bool], dict[str, Node]] | None = None

    def __repr__(self) -> str:
        """Return a text for debugging."""
        return f"Node({self.value!r})"

    def with_value(self, value: Value) -> Node:
        """Return the node with another value; itself where the value is the same object."""
        if value is self.value:
            return self
        return Node(value, self.source, self.note, self.template, self.resolver)

    def noted(self, **changes: Any) -> Node:
        """Return the node with other notes; itself where they are the same."""
        note = self.note
        # No generator, which is slower: every node comes here in every pass.
        for name, value in changes.items():
            if getattr(note, name) != value:
                break
        else:
            return self
        return Node(self.value, self.source, replace(note, **changes), self.template, self.resolver)

    def flagged(self, flags: int) -> Node:
        """Return the node with more flags."""
        if flags | self.note.flags == self.note.flags:
            return self
        return self.noted(flags=self.note.flags | flags)

    def with_issue(self, issue: Issue, *, error: bool, failed: bool) -> Node:
        """Return the node with an issue; one without a text keeps the older issue."""
        if not issue.text:
            issue = self.note.issue
        return self.noted(issue=issue, error=error, failed=failed)

    def complete(self, *, control: bool) -> bool:
        """Return whether a map or list has no merge entry any more and, where controls are enabled, no control."""
        if self._complete is None:
            self._complete = is_complete(self.value, control=control)
        return self._complete

    def resolved(self, *, control: bool) -> bool:
        """Return whether nothing in the node is still to be evaluated."""
        if self._resolved is None:
            self._resolved = is_resolved(self.value, control=control)
        return self._resolved

    def inert(self) -> bool:
        """Return whether the node is only data, which no pass changes where there are no stubs."""
        if self._inert is None:
            self._inert = self.note is PLAIN and self.template is None and is_inert(self.value)
        return self._inert

    def by_name(self, key: str, *, raw: bool, control: bool) -> dict[str, Node]:
        """Return the entries of a list that are maps by their field `key`; the first of a name counts."""
        if self._names is None:
            self._names = {}
        names = self._names.get((key, raw))
        if names is None:
            names = self._names[key, raw] = {}
            for entry in self.value:
                name = field(entry, key, raw=raw, control=control)
                if isinstance(name, str):
                    names.setdefault(name, entry)
        return names


class Expression(Record):
    """The base of all expressions. A node whose value is one has still to be evaluated."""


def field(entry: Node, key: str, *, raw: bool, control: bool) -> Value:
    """Return the value of a map's field; None for anything else."""
    if not isinstance(entry.value, dict) or not (raw or entry.complete(control=control)):
        return None
    found = entry.value.get(key)
    return found.value if found is not None else None


def is_complete(value: Value, *, control: bool) -> bool:
    """See `Node.complete`."""
    if isinstance(value, dict):
        if control:
            return not any(key.startswith("<<") for key in value)
        return "<<" not in value and "<<<" not in value
    if isinstance(value, list):
        return not any(merge_entry(entry) for entry in value)
    return True


def is_resolved(value: Value, *, control: bool) -> bool:
    """See `Node.resolved`."""
    if isinstance(value, Expression):
        return False
    if isinstance(value, str):
        return embedded(value) is None
    if isinstance(value, dict):
        if not is_complete(value, control=control):
            return False
        for entry in value.values():
            if not entry.resolved(control=control):
                return False
    elif isinstance(value, list):
        for entry in value:
            if not entry.resolved(control=control):
                return False
    return True


def is_inert(value: Value) -> bool:
    """See `Node.inert`."""
    if isinstance(value, str):
        return "((" not in value
    if isinstance(value, dict):
        # No generator: each level of nesting would need C stack, which `recursion.deep` cannot extend.
        for key, entry in value.items():  # noqa: SIM110
            # Merge keys and controls begin with `<<`, tags of key fields with `key:`.
            if key.startswith(("<<", "key:")) or not entry.inert():
                return False
        return True
    if isinstance(value, list):
        for entry in value:  # noqa: SIM110
            if not entry.inert():
                return False
        return True
    return value is None or isinstance(value, (bool, int, float))


def locally_resolved(value: Value, *, control: bool) -> bool:
    """Return whether the value itself is known; its entries need not be."""
    return not isinstance(value, Expression) and is_complete(value, control=control)


def embedded(text: str) -> str | None:
    """Return the expression in `((...))`; None for any other text and for an escaped one."""
    if text.startswith("((") and text.endswith("))") and len(text) >= 4 and not text.startswith("((!"):
        return text[2:-2]
    return None


def merge_entry(entry: Node) -> tuple[Node, str] | None:
    """Return the node and the key of a list's entry of the form `- <<: value`; None for another entry."""
    value = entry.value
    if isinstance(value, dict) and len(value) == 1:
        for key in MERGE_KEYS:
            if key in value:
                return value[key], key
    return None


def derived(value: Value, source: str) -> Node:
    """Return a node that an expression made. Its source says so, as in the reference."""
    if not source:
        return Node(value, "dynaml")
    return Node(value, source if source.startswith("dynaml@") else f"dynaml@{source}")


_MAX_SHOWN_DEPTH = 8


class Parameter(Record):
    """A lambda's parameter. `default` is a one-element tuple with the value it has when it is left out, or empty."""

    name: str
    default: tuple[Value, ...] = ()


class Lambda(Record):
    """A lambda value; `str()` is its text as the reference prints it. `Call.apply` calls it."""

    parameters: tuple[Parameter, ...]
    variadic: bool
    expression: Any
    bound: dict[str, Node]
    scope: Resolver

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __str__(self) -> str:
        """Return what is bound already, and the expression."""
        return self.described(0)

    def described(self, depth: int) -> str:
        """Return the text as `str()` does, inside of a value that is `depth` levels deep."""
        bound = shorten(short(self.bound, hide_self=True, depth=depth)) if self.bound else ""
        return f"{bound}{self.expression}"


class Template(Record):
    """A template value: the node as it was written, and `prepared`, which is processed where the template is used."""

    path: tuple[str, ...]
    prepared: Node
    original: Node
    scope: Resolver

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __str__(self) -> str:
        """Return its path, and the beginning and end of its content."""
        return f"<template {'/'.join(self.path)}: {shorten(short(self.prepared.value))}>"


def type_name(value: Value) -> str:
    """Return the name that dynaml's `type()` gives to the type of a value."""
    if value is None:
        return "nil"
    for kind, name in _TYPE_NAMES:
        if isinstance(value, kind):
            return name
    return ""


_TYPE_NAMES: tuple[tuple[type, str], ...] = (
    (bool, "bool"), (str, "string"), (int, "int"), (float, "float"), (list, "list"), (dict, "map"),
    (Template, "template"), (Lambda, "lambda"),
)  # fmt: skip


def short(value: Value, *, hide_self: bool = False, depth: int = 0) -> str:
    """Return a value in one line for messages. `hide_self` leaves out entries named `_`; below 8 levels it is `...`."""
    value = getattr(value, "value", value)
    if depth > _MAX_SHOWN_DEPTH:
        return "..."
    if isinstance(value, list):
        return "[" + ", ".join([short(entry, hide_self=hide_self, depth=depth + 1) for entry in value]) + "]"
    if isinstance(value, dict):
        keys = [key for key in sorted(value) if key != "_" or not hide_self]
        entries = [f"{key}: {short(value[key], hide_self=hide_self, depth=depth + 1)}" for key in keys]
        return "{" + ", ".join(entries) + "}"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    return _short_scalar(value, depth)


def _short_scalar(value: Value, depth: int) -> str:
    if isinstance(value, Lambda):
        return value.described(depth + 1)
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    return float_text(value) if isinstance(value, float) else str(value)


def copied(node: Node) -> Node:
    """Return a copy of the node and all below it, without notes."""
    value = node.value
    if isinstance(value, dict):
        value = {key: copied(entry) for key, entry in value.items()}
    elif isinstance(value, list):
        value = [copied(entry) for entry in value]
    return Node(value, node.source)
