"""Expressions that follow a path: references, and qualifiers behind other expressions."""

from __future__ import annotations

from collections.abc import Callable

from tweed_shim.base.records import replace
from tweed_shim.spiff.expressions.environment import SELF, Environment, Evaluable
from tweed_shim.spiff.expressions.evaluation import pending
from tweed_shim.spiff.expressions.outcomes import NOTHING, Failure, Info, Outcome
from tweed_shim.spiff.expressions.tags import Tag
from tweed_shim.spiff.expressions.terms import Range
from tweed_shim.spiff.tree.nodes import Issue, Node, Path, derived, is_resolved, locally_resolved
from tweed_shim.spiff.tree.paths import find, joined, step
from tweed_shim.spiff.tree.values import Value, is_integer

# Returns what the first steps of a path lead to, given how many.
Look = Callable[[int], Node | None]


class Reference(Evaluable):
    """`a.b`, `.a.b` (the path begins with "") and `tag::a.b`."""

    path: Path
    tag: str = ""

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:
        """Return what the path leads to, or the reference itself where that is not resolved yet."""
        if self.tag:
            return self._tagged(env, locally=locally)
        return (
            self._from_root(env, locally=locally)
            if self.path[0] == ""
            else self._relative(env, locally=locally)
        )

    def _relative(self, env: Environment, *, locally: bool) -> Outcome:
        path = self.path
        found: list[Node | None] = []

        def look(steps: int) -> Node | None:
            # Each step starts from the node before. `_`, `__` and their like mean scopes, and are resolved anew.
            if steps == 1 or path[0].startswith(SELF):
                found[:] = [env.reference(path[:steps])]
            elif found[0] is not None:
                found[:] = [step(found[0], path[steps - 1], raw=True, control=env.state.control)]
            return found[0]

        return follow(self, path, look, env, locally=locally)

    def _from_root(self, env: Environment, *, locally: bool) -> Outcome:
        start = 1 if self.path[0] == "" else 0
        return follow(
            self, self.path, lambda steps: env.from_root(self.path[start:steps]), env, locally=locally
        )

    def _tagged(self, env: Environment, *, locally: bool) -> Outcome:
        whole = self.path == ("",)
        if self.tag in ("doc:0", "doc.0"):
            if whole:
                raise Failure("no reference to actual document possible")
            return self._from_root(env, locally=locally)
        tags = env.state.tags.find(self.tag)
        if not tags:
            raise Failure(f"tag '{self.tag}' not found")
        if not whole:
            return self._in_tags(tags, env, locally=locally)
        if len(tags) > 1 and tags[0].name != self.tag:
            raise Failure(f"found multiple tags for '{self.tag}': {', '.join([tag.name for tag in tags])}")
        return tags[0].node.value, NOTHING

    def _in_tags(self, tags: list[Tag], env: Environment, *, locally: bool) -> Outcome:
        """Look in the tags, those with the shortest names first."""
        best: tuple[Tag, Outcome] | None = None
        for tag in tags:
            if best and best[0].level < tag.level:
                break
            try:
                outcome = self._in_node(tag.node, env, locally=locally)
            except Failure:
                continue
            if tag.name == self.tag:
                return outcome
            if best:
                raise Failure(f"ambigious tag resolution for {self}: {best[0].name} <-> {tag.name}")
            best = (tag, outcome)
        if not best:
            raise Failure(f"'{joined(self.path)}' not found")
        return best[1]

    def _in_node(self, node: Node, env: Environment, *, locally: bool) -> Outcome:
        # Here the reference implementation follows the whole path for each step.
        found = find(node, self.path, control=env.state.control)
        return follow(self, self.path, lambda _: found, env, locally=locally)

    def __str__(self) -> str:
        """Return the text in the language."""
        tag = f"{self.tag}::" if self.tag else ""
        return f"{tag}." if self.path == ("",) else tag + joined(self.path)


def follow(expression: Evaluable, path: Path, look: Look, env: Environment, *, locally: bool) -> Outcome:
    """Return the value at a path's end, or `expression` where a step of the path is not resolved yet.

    locally: the entries of the value need not be resolved. Raises Failure where a step leads nowhere.
    """
    control = env.state.control
    node = None
    for steps in range(1, len(path) + 1):
        node = look(steps)
        if node is None:
            raise Failure(f"'{joined(path[:steps])}' not found")
        if isinstance(node.value, Evaluable):
            return expression, _unresolved(node, f"'{joined(path[:steps])}' unresolved")
        if not node.complete(control=control):
            return expression, _unresolved(node, f"'{joined(path[:steps])}' not complete")
    assert node is not None  # noqa: S101 - a path has at least one step
    if not locally and not node.resolved(control=control):
        return expression, _unresolved(node, f"'{expression}' unresolved")
    return node.value, Info(key_name=node.note.key_name) if node.note.key_name else NOTHING


def _unresolved(node: Node, text: str) -> Info:
    return Info(issue=Issue(text), failed=node.note.failed or node.note.error)


class Qualified(Evaluable):
    """`(expression).path`."""

    inner: Evaluable
    path: Path

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:
        """Return what the path leads to in the expression's value."""
        root, info = self.inner.evaluate(env, locally=locally)
        locally = locally or info.raw
        if pending(root):
            return (self if root is self.inner else replace(self, inner=root)), info
        control = env.state.control
        if not (locally_resolved(root, control=control) and (locally or is_resolved(root, control=control))):
            return self, info
        node = Node(root, "dynaml")
        reference = Reference(self.path)
        value, info = follow(
            reference,
            self.path,
            lambda steps: find(node, self.path[:steps], control=control),
            env,
            locally=locally,
        )
        return (self if value is reference else value), info

    def __str__(self) -> str:
        """Return the text in the language."""
        return f"({self.inner}).{joined(self.path)}"


class Dynamic(Evaluable):
    """`expression.[index]`, the index being one or more expressions."""

    inner: Evaluable
    index: Evaluable

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:
        """Return the entry or field of the value; of a reference's value only that has to be resolved."""
        control = env.state.control
        root, info = self.inner.evaluate(env, locally=locally or isinstance(self.inner, Reference))
        if not locally_resolved(root, control=control):
            return self, info
        index, found = self.index.evaluate(env, locally=locally or info.raw)
        if not is_resolved(index, control=control):
            return self, info
        path = self._path(root, index, info.joined(found))
        node = Node(root, "dynaml")
        reference = Reference(path)
        value, info = follow(
            reference, path, lambda steps: find(node, path[:steps], control=control), env, locally=True
        )
        return (value if is_resolved(value, control=control) else self), info

    def _path(self, root: Value, index: Value, info: Info) -> Path:
        if isinstance(index, list) and len(index) == 1:
            index = index[0].value
        if is_integer(index):
            if not isinstance(root, list):
                raise Failure("index requires array expression", info)
            return (f"[{index}]",)
        if isinstance(index, list) and not index:
            raise Failure("at least one index or field name required for reference qualifier", info)
        return tuple([_index(entry, info) for entry in (index if isinstance(index, list) else [index])])

    def __str__(self) -> str:
        """Return the text in the language."""
        return f"{self.inner}.{self.index}"


def _index(entry: Value, info: Info) -> str:
    value = entry.value if isinstance(entry, Node) else entry
    if is_integer(value):
        return f"[{value}]"
    if isinstance(value, str):
        return value
    raise Failure("index or field name required for reference qualifier", info)


class Slice(Evaluable):
    """`expression.[start..end]`."""

    inner: Evaluable
    range: Range

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:
        """Return the part of the list, both ends included."""
        control = env.state.control
        entries, info = self.inner.evaluate(env, locally=locally)
        if not (
            locally_resolved(entries, control=control) and (locally or is_resolved(entries, control=control))
        ):
            return self, info
        if not isinstance(entries, list):
            raise Failure("slice requires array expression", info)
        bounds = self.range.bounds(env, len(entries))
        if len(bounds) == 2:
            return self, info
        start, end, _ = bounds
        return _part(entries, start, end, info), info

    def __str__(self) -> str:
        """Return the text in the language."""
        return f"{self.inner}.[{self.range}]"


def _part(entries: list[Node], start: int, end: int, info: Info) -> list[Node]:
    size = len(entries)
    if start > end:
        return []
    if start >= 0:
        if end >= size:
            raise Failure(f"slice out of range ({end} >= length {size})", info)
        return entries[start : end + 1]
    if end >= 0:
        raise Failure("mixed negative and non-negative range not possible for slice", info)
    if start < -size:
        raise Failure(f"slice out of range ({start} < -length {size})", info)
    return entries[size + start : size + end + 1]


class Current(Evaluable):
    """The entry that a projection looks at."""

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:  # noqa: ARG002 - it is known
        """Return the entry's value."""
        node = env.bound.get(PROJECTED)
        return (node.value if node else None), NOTHING

    def __str__(self) -> str:
        """Return nothing: the language has no word for it."""
        return ""


# A name that no expression can use.
PROJECTED = "[*]"


class Projection(Evaluable):
    """`expression.[*].path`: a part of every entry."""

    inner: Evaluable
    part: Evaluable

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:
        """Return the list of the parts."""
        value, info = self.inner.evaluate(env)
        if pending(value):
            raise Failure(info.issue.text, info)
        if isinstance(value, list):
            if isinstance(self.part, Current):
                return value, info
            entries = value
        elif isinstance(value, dict):
            entries = [value[key] for key in sorted(value)]
        else:
            raise Failure("only map or list allowed for projection", info)
        parts = []
        for entry in entries:
            part, _ = self.part.evaluate(env.with_bound({PROJECTED: entry}), locally=locally)
            if pending(part):
                return self, info
            parts.append(derived(part, env.source))
        return parts, info

    def __str__(self) -> str:
        """Return the text in the language."""
        return f"{self.inner}.[*] {self.part}"
