"""The results of the commands of `spiff`: merged documents, the parts of them that options select, and their text."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from tweed_shim.base.records import Record, replace
from tweed_shim.cli.commands import Arguments
from tweed_shim.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from tweed_shim.spiff.merging import Document, Options
    from tweed_shim.spiff.tree.nodes import Node


class Inputs(Record):
    """The documents of a merge: template, stubs, and tags by their names."""

    template: "Document"
    stubs: "Sequence[Document]"
    tags: "Mapping[str, Document]"


class Merged(Record):
    """The output of a merge, and the text of the state to write, or None."""

    output: str
    state: str | None


def merge(options: "Options", inputs: Inputs, arguments: Arguments) -> Merged:
    """Merge documents in a worker process. The result is text, because a pickle cannot hold data of any depth.

    Raises SpiffError, and ConfigError and UsageError for options that do not fit the result.
    """
    from tweed_shim.spiff import merging

    options = replace(options, tags={name: single(document) for name, document in inputs.tags.items()})
    results = merging.process(inputs.template, inputs.stubs, options)
    if arguments.state and len(results) > 1:
        raise UsageError(
            f"the state of a template with {len(results)} documents cannot be kept; split {inputs.template.name}"
        )
    if not arguments.preserve_temporary:
        results = merging.lasting(results)
    found = [_at(node, arguments.path) for node in results]
    states = [merging.state_of(node) for node in found]
    if arguments.evaluate is not None:
        found = [_evaluated(node, arguments.evaluate, options) for node in found]
    output = rendered([_selected(node, arguments.select) for node in found], arguments)
    return Merged(output, _state_text(states[0], arguments) if arguments.state and states else None)


def nodes(document: "Document") -> "list[Node]":
    """Return the documents of a text, unprocessed. Raises ConfigError."""
    from tweed_shim.spiff.tree import reading
    from tweed_shim.spiff.tree.values import Fault

    try:
        return reading.read(document.text, document.name)
    except Fault as fault:
        raise ConfigError(f"{document.name}: {fault}") from None


def single(document: "Document") -> "Node":
    """Return the only document of a text, unprocessed. Raises ConfigError where there are more."""
    found = nodes(document)
    if len(found) > 1:
        raise ConfigError(
            f"{document.name}: it holds {len(found)} documents, but one is needed here; split the file"
        )
    return found[0]


def shown(node: "Node", arguments: Arguments) -> "Node":
    """Return the part of a document that `--path` and `--select` choose."""
    return _selected(_at(node, arguments.path), arguments.select)


def rendered(results: "Iterable[Node]", arguments: Arguments) -> str:
    """Return documents as the text to print."""
    from tweed_shim import spiff

    documents = [entry for node in results for entry in _documents(node, split=arguments.split)]
    if arguments.json:
        return "".join(f"{spiff.dump(each, 'json')}\n" for each in documents if each.value is not None)
    texts = ["" if each.value is None else spiff.dump(each) for each in documents]
    return "".join(f"---\n{text}" if len(texts) > 1 or not text else text for text in texts)


def _documents(node: "Node", *, split: bool) -> "list[Node]":
    return list(node.value) if split and isinstance(node.value, list) else [node]


def _state_text(state: "Node", arguments: Arguments) -> str:
    from tweed_shim import spiff

    extension = os.path.splitext(arguments.state)[1]
    as_json = extension == ".json" or (arguments.json and extension not in (".yaml", ".yml"))
    return f"{spiff.dump(state, 'json')}\n" if as_json else spiff.dump(state)


def _evaluated(node: "Node", expression: str, options: "Options") -> "Node":
    from tweed_shim.spiff.merging import Document, process

    if node.value is None:
        return node
    if not isinstance(node.value, dict):
        raise ConfigError("an expression (--evaluate) needs a result that is a map; choose one with --path")
    options = replace(options, bindings={**(options.bindings or {}), **node.value}, partial=False)
    return process(Document(json.dumps(f"(( {expression} ))"), "<expr>"), [], options)[0]


def _selected(node: "Node", paths: Sequence[str]) -> "Node":
    from tweed_shim.spiff.tree.nodes import Node
    from tweed_shim.spiff.tree.paths import components

    if not paths or node.value is None:
        return node
    return Node({components(path, leading=False)[-1]: _at(node, path) for path in paths}, "")


def _at(node: "Node", path: str | None) -> "Node":
    """Return what is at a path; the whole document where there is no path, or the document is empty."""
    from tweed_shim.spiff.tree.paths import components, find

    if not path or node.value is None:
        return node
    found = find(node, components(path, leading=False), control=False, raw=True)
    if found is None:
        raise ConfigError(f"the result has nothing at '{path}'; see what it has without --path and --select")
    return found
