"""The errors of a merge that the Python API raises."""

from __future__ import annotations

from tweed_shim.base.records import Record
from tweed_shim.errors import ConfigError


class UnresolvedNode(Record):
    """A node that could not be resolved: its expression, document and path, and the reason with its class."""

    expression: str
    document: str
    path: tuple[str, ...]
    reason: str


class SpiffError(ConfigError):
    """A merge failed: `nodes` are those that could not be resolved, and `str()` lists them as the reference does.

    Where the documents or options themselves are refused `nodes` is empty and the message is one sentence.
    """

    def __init__(self, message: str, nodes: tuple[UnresolvedNode, ...] = ()) -> None:
        super().__init__(message)
        self.nodes = nodes


class Mistake(SpiffError):
    """The documents or the options of a merge are refused before anything is evaluated, or it has no end."""
