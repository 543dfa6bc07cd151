"""Documents within documents: the texts that `parse` and `read` evaluate."""

from __future__ import annotations

import re

from tweed_shim.spiff.expressions.environment import Environment
from tweed_shim.spiff.expressions.outcomes import Failure, Info, Outcome
from tweed_shim.spiff.tree.interpolation import expression_in
from tweed_shim.spiff.tree.nodes import MERGE_KEYS, Node, Template, copied, derived
from tweed_shim.spiff.tree.values import Fault

_TEMPLATE_MARKER = re.compile(r"\s&template(\(|\s|$)|^&template")


def parsed(text: str, mode: str, name: str, env: Environment) -> Outcome:
    """Return the value of a document's text, read in one of the modes of `read`. Raises Fault."""
    if mode.startswith("."):
        env, mode = env.with_new_root(), mode[1:]
    info = Info(source=name)
    if mode == "text":
        return text, info
    if mode not in ("template", "templates", "yaml", "multiyaml", "import", "importmulti"):
        raise Failure(f"invalid file type [{name}] {mode}")
    try:
        nodes = env.state.engine.documents(text, name)
    except Fault as fault:
        raise Failure(f"error parsing file [{name}]: {fault}") from None
    if mode in ("templates", "multiyaml", "importmulti"):
        return _several(nodes, mode, name, env, info)
    if len(nodes) > 1:
        raise Failure(f"error parsing file [{name}]: multi document not possible")
    if mode == "template":
        return template(nodes[0], env), info
    if mode == "import":
        return nodes[0].value, info.changed(raw=True)
    return _flowed(nodes[0], name, env, info)


def _several(nodes: list[Node], mode: str, name: str, env: Environment, info: Info) -> Outcome:
    if mode == "templates":
        return [derived(template(node, env), node.source) for node in nodes], info
    while len(nodes) > 1 and nodes[-1].value is None:
        nodes.pop()
    if mode == "importmulti":
        return nodes, info.changed(raw=True)
    return _flowed(derived(nodes, name), name, env, info)


def _flowed(node: Node, name: str, env: Environment, info: Info) -> Outcome:
    result, unresolved = env.state.engine.flow(env.with_fresh_scope(), node)
    if unresolved:
        issue, failed = unresolved.issue(f"resolution of yaml file '{name}' failed")
        raise Failure(issue.text, info.changed(failed=failed), nested=issue.nested)
    return result.value, info


def template(node: Node, env: Environment) -> Template:
    """Return the template that a document is. Its original has a `&template` marker, so that output shows one."""
    original = copied(node)
    value = original.value
    marker = derived("(( &template ))", node.source)
    if isinstance(value, dict):
        if "<<<" not in value:
            original = original.with_value({**value, "<<<": marker})
        elif "<<" not in value:
            original = original.with_value({**value, "<<": marker})
    elif isinstance(value, list) and not any(_is_marked(entry, env) for entry in value):
        original = derived([derived({"<<<": marker}, node.source), *value], node.source)
    return Template(env.path, node, original, env)


def _is_marked(entry: Node, env: Environment) -> bool:
    if not isinstance(entry.value, dict):
        return False
    for key in reversed(MERGE_KEYS):
        if key in entry.value:
            text = entry.value[key].value
            expression = (
                expression_in(text, interpolation=env.state.interpolation) if isinstance(text, str) else None
            )
            return expression is not None and bool(_TEMPLATE_MARKER.search(expression))
    return False
