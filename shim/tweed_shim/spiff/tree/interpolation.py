"""Expressions within a longer text (the feature `interpolation`): `port (( n )) of (( host ))`."""

from __future__ import annotations

import json

from tweed_shim.spiff.tree.nodes import Node, embedded


def expression_in(text: str, *, interpolation: bool) -> str | None:
    """Return the expression that a text is or, with interpolation, contains; None where it has none."""
    found = embedded(text)
    if found is not None or not interpolation:
        return found
    if text.startswith("((") and text.endswith("))"):
        return None
    parts = _split(text)
    if not any(is_expression for is_expression, _ in parts):
        return None
    if any(part.endswith("\\") and not is_expression for is_expression, part in parts):
        # As in the reference, a backslash before one expression escapes the whole text.
        return None
    return " ".join([f"( {part.strip()} )" if code else json.dumps(part) for code, part in _joined(parts)])


def unescaped(text: str, *, interpolation: bool) -> str:
    """Return a text with its escaped expressions (`((! ... ))`) unescaped."""
    if text.startswith("((") and text.endswith("))") and len(text) >= 4:
        return f"(({text[3:]}" if text.startswith("((!") else text
    if not interpolation or "((!" not in text:
        return text
    parts = _split(text, unescape=True)
    if any(is_expression for is_expression, _ in parts):
        return text
    return "".join([part for _, part in parts])


def unescaped_node(node: Node, *, interpolation: bool) -> Node:
    """Return a node with its text or merge keys (`<<!`) unescaped, but not what is below it."""
    value = node.value
    if isinstance(value, str):
        text = unescaped(value, interpolation=interpolation)
        return node if text == value else Node(text, node.source)
    if isinstance(value, dict) and any(key.startswith(("<<!", "<<<!")) for key in value):
        return Node({_unescaped_key(key): entry for key, entry in value.items()}, node.source)
    return node


def _unescaped_key(key: str) -> str:
    for escape in ("<<<!", "<<!"):
        if key.startswith(escape):
            return escape[:-1] + key[len(escape) :]
    return key


def _joined(parts: list[tuple[bool, str]]) -> list[tuple[bool, str]]:
    """Join neighbouring texts, and leave out empty ones."""
    result: list[tuple[bool, str]] = []
    for code, part in parts:
        if not code and result and not result[-1][0]:
            result[-1] = (False, result[-1][1] + part)
        elif part or code:
            result.append((code, part))
    return result


def _split(text: str, *, unescape: bool = False) -> list[tuple[bool, str]]:
    """Split a text into parts: whether each is an expression, and its text."""
    parts: list[tuple[bool, str]] = []
    position = 0
    while True:
        start = text.find("((", position)
        # Where there are more than two parentheses, the last two begin the expression.
        while start >= 0 and text.startswith("(((", start):
            start += 1
        end = _end(text, start + 2) if start >= 0 else -1
        if end < 0:
            parts.append((False, text[position:]))
            return parts
        parts.append((False, text[position:start]))
        inner = text[start + 2 : end - 2]
        if inner.startswith("!"):
            parts.append((False, f"(({inner[1:] if unescape else inner}))"))
        else:
            parts.append((True, inner))
        position = end


def _end(text: str, position: int) -> int:
    """Return where the expression that begins at `position` ends, behind its parentheses; -1 where it does not."""
    level = closing = 0
    quoted = escaped = False
    for index in range(position, len(text)):
        character = text[index]
        if quoted:
            if character == '"' and not escaped:
                quoted = False
            escaped = character == "\\" and not escaped
            continue
        if character == ")":
            if level:
                level -= 1
            else:
                closing += 1
                if closing == 2:
                    return index + 1
            continue
        closing = 0
        if character == "(":
            level += 1
        elif character == '"':
            quoted = True
    return -1
