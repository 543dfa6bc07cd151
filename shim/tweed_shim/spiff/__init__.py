"""The dynaml language of spiff: templates and stubs in, plain data out.

    from tweed_shim import spiff
    spiff.merge("a: (( b + 1 ))\\nb: 2")            # {"a": 3, "b": 2}

The language is the one of https://github.com/mandelsoft/spiff; `docs/spiff.md` says what is different here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from tweed_shim.spiff.failures import SpiffError, UnresolvedNode
from tweed_shim.spiff.tree.values import Fault

if TYPE_CHECKING:
    from tweed_shim.spiff.merging import Document

__all__ = ["Fault", "SpiffError", "UnresolvedNode", "dump", "merge", "merge_stream"]

Mode = Literal["private", "files", "system"]


def merge(
    template: str,
    *stubs: str,
    features: Sequence[str] = (),
    mode: Mode = "private",
    bindings: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
    functions: Mapping[str, Callable[..., Any]] | None = None,
    partial: bool = False,
) -> Any:
    """Process a template with stubs (YAML texts) and return plain data; each stub sees the stubs behind it.

    A template of several documents gives a list, as `merge_stream` does.

    features: "interpolation" and "control". mode: what expressions may reach: "private" nothing of the host,
    "files" files, "system" also commands and the environment. bindings: names that all documents see. tags:
    global tags. functions: more functions by name; they get plain values, and raise `Fault` to fail.
    partial: what cannot be resolved stays an expression, and is not an error.

    Raises SpiffError, which lists all nodes that could not be resolved.
    """
    from tweed_shim.spiff import merging
    from tweed_shim.spiff.recursion import deep
    from tweed_shim.spiff.tree import output

    options = merging.Options(features, mode, bindings, tags, functions or {}, partial)
    with deep("the result"):
        results = merging.process(*_documents(template, stubs), options)
        if len(results) == 1:
            return output.plain_data(results[0])
        return [output.plain_data(result) for result in merging.lasting(results)]


def merge_stream(
    template: str,
    *stubs: str,
    features: Sequence[str] = (),
    mode: Mode = "private",
    bindings: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
    functions: Mapping[str, Callable[..., Any]] | None = None,
    partial: bool = False,
) -> list[Any]:
    """Process a template as `merge` does and return a list: the results of its documents, without temporary ones."""
    from tweed_shim.spiff import merging
    from tweed_shim.spiff.recursion import deep
    from tweed_shim.spiff.tree import output

    options = merging.Options(features, mode, bindings, tags, functions or {}, partial)
    with deep("the result"):
        results = merging.process(*_documents(template, stubs), options)
        return [output.plain_data(result) for result in merging.lasting(results)]


def _documents(template: str, stubs: Sequence[str]) -> tuple[Document, list[Document]]:
    from tweed_shim.spiff.merging import Document

    named = [Document(text, f"stub{number}") for number, text in enumerate(stubs, 1)]
    return Document(template, "template"), named


def dump(value: Any, format: Literal["yaml", "json"] = "yaml") -> str:  # noqa: A002 - the word that people know
    """Return a value as YAML, which ends with a line feed, or as one line of JSON, with the keys of maps in order.

    Raises SpiffError for values that JSON cannot hold, such as NaN.
    """
    from tweed_shim.spiff.recursion import deep
    from tweed_shim.spiff.tree import output

    try:
        with deep("the value"):
            return output.to_yaml(value) if format == "yaml" else output.to_json(value)
    except Fault as fault:
        raise SpiffError(f"the value cannot be written: {fault}") from None
