"""The result of evaluating an expression: a value with what is noted on its node, or a failure."""

from __future__ import annotations

from typing import Any

from tweed_shim.base.records import Record, replace
from tweed_shim.spiff.tree.nodes import NO_ISSUE, Issue, Path
from tweed_shim.spiff.tree.values import Fault, Value


class Info(Record):
    """What an evaluation has to say about the node beside its value."""

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
        """Combine with what a later evaluation found: the later one decides, and `replace` is only the later one's."""
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
        """Return it with other values for some fields."""
        return replace(self, **changes)

    def cleared(self) -> Info:
        """Return it without issue, failure and mark of being undefined."""
        if self.issue is NO_ISSUE and not self.failed and not self.undefined:
            return self
        return replace(self, issue=NO_ISSUE, failed=False, undefined=False)


NOTHING = Info()
UNDEFINED = Info(undefined=True)
Outcome = tuple[Value, Info]


class Failure(Fault):
    """A fault of the engine itself, with what had been found before it."""

    def __init__(
        self, reason: str, info: Info = NOTHING, *, nested: tuple[Issue, ...] = (), sequence: bool = False
    ) -> None:
        super().__init__(reason, sequence=sequence)
        self.info = info
        self.issues = nested


def fault_info(fault: Fault) -> Info:
    """Return what is noted on the node of an expression that failed."""
    info = fault.info if isinstance(fault, Failure) else NOTHING
    return info.changed(issue=fault_issue(fault))


def fault_issue(fault: Fault) -> Issue:
    """Return a fault as an issue."""
    issues = (
        fault.issues if isinstance(fault, Failure) else tuple([fault_issue(cause) for cause in fault.nested])
    )
    return Issue(fault.reason, nested=issues, sequence=fault.sequence)
