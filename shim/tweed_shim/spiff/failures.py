"""The errors of this room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tweed_shim.base.records import Record
from tweed_shim.errors import ConfigError

if TYPE_CHECKING:
    from tweed_shim.spiff.unresolved import Unresolved


class UnresolvedNode(Record):
    """A node that could not be resolved: its expression, its document, its path, and the reason with its class."""

    expression: str
    document: str
    path: tuple[str, ...]
    reason: str


class SpiffError(ConfigError):
    """A merge failed: `nodes` are those that could not be resolved, and `str()` lists them as the reference does.

    Where the documents or options themselves are refused `nodes` is empty and the message is one sentence.
    """

    nodes: tuple[UnresolvedNode, ...] = ()

    def __init__(self, unresolved: Unresolved | str) -> None:
        super().__init__(str(unresolved))
        if not isinstance(unresolved, str):
            self.nodes = tuple(
                [
                    UnresolvedNode(str(found.node.value), found.node.source, found.context, found.reason)
                    for found in unresolved.nodes
                ]
            )


class Mistake(SpiffError):
    """The documents or the options of a merge are refused."""
