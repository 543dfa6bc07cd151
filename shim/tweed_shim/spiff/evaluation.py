"""How expressions are evaluated: to a value and what is to be noted on its node, or to a `Fault`.

An expression whose value is not known in this pass evaluates to an expression: itself, or one closer to the value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from tweed_shim.base.records import Record, replace
from tweed_shim.spiff.nodes import NO_ISSUE, Expression, Issue, Node, Path
from tweed_shim.spiff.values import Fault, Value, float_text

if TYPE_CHECKING:
    from tweed_shim.spiff.environment import Environment


class Info(Record):
    """What an evaluation found beside the value."""

    redirect: Path | None = None
    replace: bool = False
    merged: bool = False
    preferred: bool = False
    key_name: str = ""
    source: str = ""
    failed: bool = False
    undefined: bool = False
    raw: bool = False
    issue: Issue = NO_ISSUE
    flags: int = 0

    def joined(self, other: Info) -> Info:
        """What two evaluations found, the later one's word counting more. `replace` is only the later one's."""
        if other is NOTHING and not self.replace:
            return self
        if self is NOTHING and not other.source and not other.raw:
            return other
        return Info(
            redirect=self.redirect if other.redirect is None else other.redirect,
            replace=other.replace,
            merged=self.merged or other.merged,
            preferred=self.preferred or other.preferred,
            key_name=other.key_name or self.key_name,
            source=self.source,
            failed=self.failed or other.failed,
            undefined=self.undefined or other.undefined,
            raw=self.raw,
            issue=other.issue if other.issue.text else self.issue,
            flags=self.flags | other.flags,
        )

    def changed(self, **changes: Any) -> Info:
        """The same with other words."""
        return replace(self, **changes)

    def cleared(self) -> Info:
        """The same without issue."""
        if self.issue is NO_ISSUE and not self.failed and not self.undefined:
            return self
        return replace(self, issue=NO_ISSUE, failed=False, undefined=False)


NOTHING = Info()
UNDEFINED = Info(undefined=True)

Outcome = tuple[Value, Info]


class Failure(Fault):
    """A fault of the engine's own, with what had been found before it."""

    def __init__(
        self, reason: str, info: Info = NOTHING, *, nested: tuple[Issue, ...] = (), sequence: bool = False
    ) -> None:
        super().__init__(reason, sequence=sequence)
        self.info = info
        self.issues = nested


def fault_info(fault: Fault) -> Info:
    """What is to be noted for a fault."""
    info = fault.info if isinstance(fault, Failure) else NOTHING
    return info.changed(issue=fault_issue(fault))


def fault_issue(fault: Fault) -> Issue:
    """A fault as an issue."""
    issues = (
        fault.issues if isinstance(fault, Failure) else tuple([fault_issue(cause) for cause in fault.nested])
    )
    return Issue(fault.reason, nested=issues, sequence=fault.sequence)


class Evaluable(Expression):
    """An expression of the language. `str()` is its text in the reference's notation."""

    # Whether a call has become this expression, and is not evaluated anew itself.
    deferred = False

    def evaluate(self, env: Environment, locally: bool = False) -> Outcome:
        """The value, or an expression where it is not known yet. `locally`: what is in it need not be known.

        Raises Fault where there is none.
        """
        raise NotImplementedError

    def merges_directly(self) -> bool:
        """Whether the expression takes the value at its own path from a stub."""
        return False


Same = TypeVar("Same", bound=Evaluable)


def resolve(
    expression: Evaluable, env: Environment, info: Info = NOTHING, *, locally: bool = False
) -> Outcome:
    """Evaluate an operand after others, whose `info` is joined."""
    value, found = expression.evaluate(env, locally)
    return value, found if info is NOTHING else info.joined(found)


def pending(value: Value) -> bool:
    """Whether a value is not known yet."""
    return isinstance(value, Expression)


def pushed(expression: Evaluable, value: Value) -> Evaluable:
    """What an operand became: the expression closer to its value, or what it was."""
    return value if isinstance(value, Evaluable) else expression


class Constant(Evaluable):
    """A value that is known."""

    value: Value

    def evaluate(self, env: Environment, locally: bool = False) -> Outcome:  # noqa: ARG002 - a constant needs neither
        """The value."""
        return self.value, NOTHING

    def __str__(self) -> str:
        """The value as a literal."""
        return literal(self.value)


def literal(value: Value) -> str:
    """A value as the language writes it."""
    if isinstance(value, Node):
        value = value.value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return float_text(value)
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return f"[{', '.join([literal(entry) for entry in value])}]"
    if isinstance(value, dict):
        return "{" + ", ".join([f"{quoted(key)}={literal(value[key])}" for key in sorted(value)]) + "}"
    return "nil" if value is None else str(value)


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}


def quoted(text: str) -> str:
    """A text as a literal that the parser reads."""
    return '"' + "".join([_ESCAPES.get(letter) or _visible(letter) for letter in text]) + '"'


def _visible(letter: str) -> str:
    return letter if letter >= " " and letter != "\x7f" else f"\\u{ord(letter):04x}"
