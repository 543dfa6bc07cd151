"""Expressions that control how a node is merged: merge, prefer, auto, markers, templates."""

from __future__ import annotations

from tweed_shim.spiff.expressions.environment import SELF, Environment, Evaluable
from tweed_shim.spiff.expressions.evaluation import pending
from tweed_shim.spiff.expressions.lambdas import deeper
from tweed_shim.spiff.expressions.outcomes import NOTHING, UNDEFINED, Failure, Info, Outcome
from tweed_shim.spiff.expressions.references import Reference
from tweed_shim.spiff.tree.nodes import (
    DEFAULT,
    DYNAMIC,
    INJECT,
    LOCAL,
    STATE,
    TEMPORARY,
    Node,
    Path,
    Template,
    copied,
    is_resolved,
)
from tweed_shim.spiff.tree.paths import find, joined
from tweed_shim.spiff.tree.values import is_integer

TEMPLATE = "&template"
_FLAGS = {
    "&temporary": TEMPORARY,
    "&local": LOCAL,
    "&inject": INJECT,
    "&default": DEFAULT,
    "&state": STATE,
    "&dynamic": DYNAMIC,
}


class Merge(Evaluable):
    """`merge` in all its forms. `path` is the path in the stubs."""

    path: Path
    # Whether `path` is not the node's own path.
    redirect: bool = False
    replace: bool = False
    required: bool = False
    nothing: bool = False
    key_name: str = ""

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:  # noqa: ARG002 - stubs are resolved
        """Return the stubs' value."""
        redirect = self.path if self.redirect else None
        if self.nothing:
            return None, Info(key_name=self.key_name, redirect=redirect, merged=True)
        node = env.in_stubs(self.path)
        if node is None:
            info = Info(key_name=self.key_name, redirect=redirect)
            raise Failure(f"'{joined(self.path)}' not found in any stub", info)
        return node.value, Info(
            key_name=self.key_name,
            redirect=redirect,
            replace=self.replace,
            merged=True,
            source=node.source,
            flags=node.note.flags,
        )

    def merges_directly(self) -> bool:
        """See Evaluable."""
        return not self.redirect

    def __str__(self) -> str:
        """Return the text in the language."""
        text = "merge"
        if self.replace:
            text += " replace"
        if self.key_name:
            text += f" on {self.key_name}"
        if self.required and not self.redirect and text != "merge":
            text = "merge required"
        return f"{text} {joined(self.path)}" if self.redirect else text


class Auto(Evaluable):
    """`auto`: the size of a resource pool, counted from the jobs that use it."""

    path: Path

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:  # noqa: ARG002 - jobs are needed whole
        """Return the number of instances."""
        if len(self.path) != 3 or self.path[0] != "resource_pools" or self.path[2] != "size":
            raise Failure("auto only allowed for size entry in resource pools")
        try:
            jobs, info = Reference(("", "jobs")).evaluate(env)
        except Failure:
            raise Failure("no jobs found") from None
        if not is_resolved(jobs, control=env.state.control):
            return self, info
        if not isinstance(jobs, list):
            raise Failure("jobs must be a list")
        return sum([self._instances(job, env) for job in jobs]), NOTHING

    def _instances(self, job: Node, env: Environment) -> int:
        control = env.state.control
        pool = find(job, ["resource_pool"], control=control)
        if pool is None or (pool.value != self.path[1].partition(":")[2] and pool.value != self.path[1]):
            return 0
        instances = find(job, ["instances"], control=control)
        if instances is None or not is_integer(instances.value):
            raise Failure("")
        return int(instances.value)

    def __str__(self) -> str:
        """Return the text in the language."""
        return "auto"


class Prefer(Evaluable):
    """`prefer expression`: its value wins over the stubs'."""

    inner: Evaluable

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:
        """Return the value, preferred."""
        value, info = self.inner.evaluate(env, locally=locally)
        return value, info.changed(preferred=True)

    def __str__(self) -> str:
        """Return the text in the language."""
        return f"prefer {self.inner}"


class Marker(Evaluable):
    """`&temporary &local (expression)`: markers, and what they mark (None: the node that holds them)."""

    names: tuple[str, ...]
    inner: Evaluable | None = None
    # The marked expression as it was written. Two markers that differ in it only are equal.
    text: str = ""

    def __eq__(self, other: object) -> bool:
        """Return whether both have the same markers and mark the same."""
        return isinstance(other, Marker) and (self.names, self.inner) == (other.names, other.inner)

    def __hash__(self) -> int:
        """See `__eq__`."""
        return hash((self.names, self.inner))

    @property
    def is_template(self) -> bool:
        """Whether the node is a template."""
        return TEMPLATE in self.names

    @property
    def tag(self) -> str:
        """The tag's name, with a leading `*` for a global one, or ""."""
        return next((name[5:] for name in self.names if name.startswith("&tag:")), "")

    @property
    def flags(self) -> int:
        """The flags that the markers stand for."""
        flags = 0
        for name in self.names:
            flags |= _FLAGS.get(name, 0)
        return flags

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:
        """Return the marked expression's value, flagged."""
        if self.is_template:
            raise Failure("&template only usable as marker for templates")
        own = Info(flags=self.flags)
        if self.inner is None:
            return None, own
        value, info = self.inner.evaluate(env, locally=locally)
        return value, info.joined(own)

    def template_of(self, original: Node) -> Node | None:
        """Return the node that the template is prepared from; None where nothing is marked."""
        if self.inner is None:
            return None
        return original.with_value(f"(( {self.text or self.inner} ))").flagged(self.flags)

    def merges_directly(self) -> bool:
        """See Evaluable."""
        return self.inner is not None and self.inner.merges_directly()

    def __str__(self) -> str:
        """Return the text in the language."""
        names = " ".join(self.names)
        return f"{names} ({self.text or self.inner})" if self.inner else names


class Substitution(Evaluable):
    """`*expression`: the result of processing a template where it is used."""

    inner: Evaluable

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:  # noqa: ARG002 - the result is needed whole
        """Return the template, processed here."""
        template, info = self.inner.evaluate(env)
        if pending(template):
            return self, info
        if not isinstance(template, Template):
            raise Failure("template value required", info)
        itself = Node(template, env.source, resolver=template.scope)
        with deeper(env):
            result, unresolved = env.state.engine.flow(
                env.with_bound({SELF: itself}), copied(template.prepared)
            )
        info = UNDEFINED if result.note.undefined else NOTHING
        if not unresolved:
            return result.value, info.changed(source=result.source)
        if not unresolved.has_error:
            return self, info
        issue, failed = unresolved.issue(f"resolution of template '{joined(template.path)}' failed")
        raise Failure(issue.text, info.changed(failed=failed), nested=issue.nested)

    def __str__(self) -> str:
        """Return the text in the language."""
        return f"*({self.inner})"
