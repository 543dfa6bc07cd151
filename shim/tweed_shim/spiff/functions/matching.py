"""Search and replace in strings, by plain text and by regular expressions."""

from __future__ import annotations

import re
from collections.abc import Callable

from tweed_shim.base import re2
from tweed_shim.spiff.functions.arguments import bound, integer, string
from tweed_shim.spiff.functions.registry import Call, function
from tweed_shim.spiff.tree.nodes import Lambda
from tweed_shim.spiff.tree.values import Fault, Value, is_integer, simple_text

# A match in a string: where it begins and ends, and the texts of the match and its groups.
Found = tuple[int, int, list[str]]
Finder = Callable[[str, int], "Found | None"]
_LOOKING_BACK = ("(?:^)", r"(?:\A)", "(?<=")
_REFERENCE = re.compile(r"\$(?:\$|\{(?P<braced>\w+)\}|(?P<name>\w+))", re.ASCII)


def _groups(match: re.Match[str]) -> list[str]:
    return [match[0], *[group or "" for group in match.groups()]]


@function("match", 2, 3)
def match(call: Call, pattern: Value, text: Value, *repeat: Value) -> Value:
    """Return the match and its groups, or a list of several; [] where nothing matches, false for nil."""
    if not isinstance(pattern, str):
        raise Fault("pattern string for argument one of function match required")
    if text is None:
        return False
    limit = _limit(repeat[0]) if repeat else None
    simple = simple_text(text)
    if simple is None:
        raise Fault("simple value for argument two of function match required")
    expression = _compiled("match", pattern)
    if limit is not None:
        return [_groups(found) for found in re2.matches(expression, simple, limit)]
    found = expression.search(simple)
    return _groups(found) if found else []


def _limit(repeat: Value) -> int:
    """Return how many matches are wanted, -1 for all."""
    if isinstance(repeat, bool):
        return -1 if repeat else 1
    if not is_integer(repeat):
        raise Fault("simple value for argument three of function match required")
    if repeat == 0:
        raise Fault("repetition count may not be zero")
    return repeat


def _compiled(name: str, pattern: str) -> re.Pattern[str]:
    try:
        return re2.compiled(pattern)
    except re2.BadPattern as fault:
        raise Fault(f"{name}: {fault}") from None


@function("split_match", 2, 3)
def split_match(call: Call, separator: Value, text: Value, limit: Value = -1) -> Value:
    """Split a string wherever a regular expression matches."""
    string(call, 1, text)
    most = integer(call, 2, limit)
    expression = _compiled("split_match", string(call, 0, separator))
    if most == 0:
        return []
    if separator and not text:
        return [""]
    parts: list[str] = []
    begin = end = 0
    for found in re2.matches(expression, text, most):
        if most > 0 and len(parts) == most - 1:
            break
        end = found.start()
        if found.end() != 0:
            parts.append(text[begin:end])
        begin = found.end()
    if end != len(text):
        parts.append(text[begin:])
    return parts


@function("replace", 3, 4)
def replace(call: Call, text: Value, old: Value, new: Value, limit: Value = -1) -> Value:
    """Replace a text in a string; a lambda gets a list with the old text and returns the new one."""
    where, what, most = string(call, 0, text), string(call, 1, old), integer(call, 3, limit)
    if isinstance(new, str):
        bound(call, len(where) + where.count(what) * len(new))
        return where.replace(what, new, most)

    def find(text: str, position: int) -> Found | None:
        at = text.find(what, position)
        return None if at < 0 else (at, at + len(what), [what])

    return _replaced(call, where, find, _expander(call, new), most)


@function("replace_match", 3, 4)
def replace_match(call: Call, text: Value, pattern: Value, new: Value, limit: Value = -1) -> Value:
    """Replace what a regular expression matches; `$1` and `${1}` in the new text are groups."""
    where, most = string(call, 0, text), integer(call, 3, limit)
    expression = _compiled("replace_match", string(call, 1, pattern))

    # The reference searches the rest of the text as a text of its own: `^` matches where it begins.
    looks_back = any(part in expression.pattern for part in _LOOKING_BACK)

    def find(text: str, position: int) -> Found | None:
        skipped = position if looks_back else 0
        found = expression.search(text[skipped:], position - skipped)
        return None if found is None else (found.start() + skipped, found.end() + skipped, _groups(found))

    if isinstance(new, str):
        return _replaced(call, where, find, lambda groups: _expanded(new, groups, expression), most)
    return _replaced(call, where, find, _expander(call, new), most)


def _expander(call: Call, new: Value) -> Callable[[list[str]], str]:
    if not isinstance(new, Lambda):
        raise Fault(f"{call.name}: replace substitution must be string or lambda")

    def expand(groups: list[str]) -> str:
        made = call.apply(new, [groups])
        if not isinstance(made, str):
            raise Fault(f"{call.name}: replace: lambda must return a string")
        return made

    return expand


def _expanded(template: str, groups: list[str], expression: re.Pattern[str]) -> str:
    def value(reference: re.Match[str]) -> str:
        name = reference["braced"] or reference["name"]
        if name is None:
            return "$"
        position = (
            int(name) if name.isdigit() and len(name) < 6 else expression.groupindex.get(name, len(groups))
        )
        return groups[position] if position < len(groups) else ""

    return _REFERENCE.sub(value, template)


def _replaced(call: Call, text: str, find: Finder, expand: Callable[[list[str]], str], limit: int) -> str:
    """Replace what `find` finds; an empty match directly behind another match is skipped."""
    done: list[str] = []
    position, after_empty, length = 0, True, len(text)
    while limit != 0:
        place = find(text, position)
        if place is None:
            break
        limit -= 1
        start, end, groups = place
        done.append(text[position:start])
        if after_empty or end > position:
            done.append(expand(groups))
            length += len(done[-1])
            bound(call, length)
        position, after_empty = end, start == end
        if after_empty:
            if position == len(text):
                break
            done.append(text[position])
            position += 1
    return "".join([*done, text[position:]])
