"""Concatenation: `a b c`, of texts, lists and maps."""

from __future__ import annotations

from tweed_shim.spiff.expressions.environment import Environment, Evaluable
from tweed_shim.spiff.expressions.evaluation import pending, pushed, resolve
from tweed_shim.spiff.expressions.outcomes import NOTHING, Failure, Info, Outcome
from tweed_shim.spiff.tree.nodes import Lambda, derived, type_name
from tweed_shim.spiff.tree.values import MAX_ENTRIES, MAX_TEXT, Value, simple_text


class Concatenation(Evaluable):
    """`a b c`; there are at least two parts."""

    parts: tuple[Evaluable, ...]

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:  # noqa: ARG002 - parts are needed whole
        """Return all parts as one text, list or map."""
        values: list[Value] = []
        unknown = False
        info = NOTHING
        for part in self.parts:
            value, info = resolve(part, env, info)
            unknown = unknown or pending(value)
            values.append(value)
        if unknown:
            parts = tuple([pushed(part, value) for part, value in zip(self.parts, values, strict=True)])
            same = all(one is other for one, other in zip(parts, self.parts, strict=True))
            return (self if same else Concatenation(parts)), info
        return self._joined(values, info), info

    def _joined(self, values: list[Value], info: Info) -> Value:
        texts = [simple_text(value) for value in values]
        if isinstance(values[0], (str, int)) and None not in texts:
            return "".join(_bounded([text for text in texts if text is not None]))
        result = values[0]
        for number, value in enumerate(values[1:], 1):
            result = self._two(result, value, number, info)
        return result

    def _two(self, left: Value, right: Value, number: int, info: Info) -> Value:
        one = simple_text(left)
        other = str(right) if isinstance(right, Lambda) else simple_text(right)
        if one is not None and other is not None:
            return "".join(_bounded([one, other]))
        if isinstance(left, list):
            more = (
                right if isinstance(right, list) else [] if right is None else [derived(right, info.source)]
            )
            return (
                [*left, *more] if len(left) + len(more) <= MAX_ENTRIES else _too_large("entries", MAX_ENTRIES)
            )
        if isinstance(left, dict) and (right is None or isinstance(right, dict)):
            return {**left, **(right or {})}
        before = Concatenation(self.parts[:number]) if number > 1 else self.parts[0]
        raise Failure(
            f"type '{type_name(right)}'({self.parts[number]}) cannot be concatenated with type "
            f"'{type_name(left)}'({before})",
            info,
        )

    def merges_directly(self) -> bool:
        """See Evaluable."""
        return any(part.merges_directly() for part in self.parts)

    def __str__(self) -> str:
        """Return the text in the language."""
        return " ".join([str(part) for part in self.parts])


def _bounded(texts: list[str]) -> list[str]:
    if sum([len(text) for text in texts]) > MAX_TEXT:
        _too_large("characters", MAX_TEXT)
    return texts


def _too_large(what: str, most: int) -> Value:
    raise Failure(f"the result of a concatenation has more than {most:,} {what}")
