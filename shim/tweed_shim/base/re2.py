"""Regular expressions in the syntax of RE2, matched with Python's engine.

Source of the syntax: https://github.com/google/re2/wiki/Syntax. What RE2 does not have (references to groups,
lookarounds, possessive repetition) is refused here too. Digits, words and blanks are those of ASCII. Spiff and the
format `regex` of JSON Schema need it: the reference implementations of both are written in Go.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import lru_cache


class BadPattern(ValueError):
    """A text is no regular expression; `str()` is the reason, in the words of Go's regexp."""


_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
}
_PERL = {
    "d": "[0-9]", "D": "[^0-9]",
    "s": r"[\t\n\f\r ]", "S": r"[^\t\n\f\r ]",
    "w": "[0-9A-Za-z_]", "W": "[^0-9A-Za-z_]",
}  # fmt: skip
_WORD = _PERL["w"]
# What Python's own \\b takes for a word has letters of all alphabets.
_ANCHORS = {
    "A": r"(?:\A)",
    "z": r"(?:\Z)",
    "b": f"(?:(?<={_WORD})(?!{_WORD})|(?<!{_WORD})(?={_WORD}))",
    "B": f"(?:(?<={_WORD})(?={_WORD})|(?<!{_WORD})(?!{_WORD}))",
}
_NAMED_CLASS = re.compile(r"\[:(?P<negated>\^?)(?P<name>\w+):\]")
_CONTROLS = frozenset("afnrtv")
_ESCAPE = re.compile(
    r"\\(?:x\{(?P<braced>[0-9A-Fa-f]{1,6})\}|x(?P<hex>[0-9A-Fa-f]{2})|(?P<octal>0[0-7]{0,2}|[1-7][0-7]{1,2})"
    r"|(?P<property>[pP](?:\{\^?\w+\}|[A-Za-z]))|(?P<one>.))",
    re.DOTALL,
)
_GROUP = re.compile(r"\((?:\?P?<(?P<name>\w+)>|\?(?P<flags>[imsU]*(?:-[imsU]+)?)(?P<end>[:)])|(?!\?))")
_REPEAT = re.compile(r"[*+?]\??|\{(?P<least>[0-9]+)(?P<comma>,(?P<most>[0-9]*))?\}\??")
_MOST_REPEATS = 1000


@lru_cache(maxsize=512)
def compiled(pattern: str) -> re.Pattern[str]:
    """Compile an expression. Raises BadPattern."""
    try:
        return re.compile(_Translation(pattern).text())
    except (re.error, OverflowError, RecursionError) as error:
        reason = error.msg if isinstance(error, re.error) else "expression nests too deeply"
        if reason.startswith("missing )"):
            reason = "missing closing )"
        raise BadPattern(f"error parsing regexp: {reason}: `{pattern}`") from None


def matches(pattern: re.Pattern[str], text: str, limit: int = -1) -> Iterator[re.Match[str]]:
    """Return the matches from left to right, at most `limit`, without empty ones that touch the one before."""
    position, previous, found = 0, -1, 0
    while position <= len(text) and found != limit:
        match = pattern.search(text, position)
        if match is None:
            return
        if match.end() > match.start() or match.start() != previous:
            found += 1
            yield match
        previous = match.end()
        position = match.end() if match.end() > match.start() else match.end() + 1


class _Group:
    """What holds in an open group: what `$` means, and whether repetitions take as little as they can.

    flagged: flags in the midst of a group reach to its end, alternatives included. Python has them only before
    a group of their own: how each of those begins.
    """

    def __init__(self, *, multiline: bool = False, ungreedy: bool = False) -> None:
        self.multiline = multiline
        self.ungreedy = ungreedy
        self.flagged: list[str] = []


class _Translation:
    """One pass over a pattern, which writes the same in Python's syntax."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.position = 0
        self.written: list[str] = []
        # The groups that are open, the expression itself first.
        self.groups = [_Group()]

    def text(self) -> str:
        """The expression in Python's syntax. Raises re.error."""
        repeatable = False
        while self.position < len(self.pattern):
            repeatable = self._next(repeatable=repeatable)
        self.written.append(")" * len(self.groups[0].flagged))
        return "".join(self.written)

    def _fail(self, reason: str) -> re.error:
        return re.error(reason)

    def _next(self, *, repeatable: bool) -> bool:
        """Translate one element; answers whether what follows may repeat it."""
        character = self.pattern[self.position]
        if character == "\\":
            return self._escape()
        if character == "[":
            return self._class()
        if character == "(":
            return self._group()
        if character == ")":
            return self._close()
        repeat = _REPEAT.match(self.pattern, self.position)
        if repeat is not None:
            return self._repeat(repeat, repeatable=repeatable)
        self.position += 1
        group = self.groups[-1]
        if character == "|":
            self.written.append(f"{')' * len(group.flagged)}|{''.join(group.flagged)}")
            return False
        # Python repeats no anchor that is not in a group.
        anchors = {"^": "(?:^)", "$": "(?:$)" if group.multiline else r"(?:\Z)"}
        self.written.append(anchors.get(character, r"\{" if character == "{" else character))
        return True

    def _repeat(self, repeat: re.Match[str], *, repeatable: bool) -> bool:
        if not repeatable:
            before = self.written[-1] if self.written else ""
            nested = before and before[0] in "*+?{"
            raise self._fail(
                "invalid nested repetition operator" if nested else "missing argument to repetition operator"
            )
        bounds = [int(bound) for bound in (repeat["least"], repeat["most"]) if bound]
        if any(bound > _MOST_REPEATS for bound in bounds) or bounds != sorted(bounds):
            raise self._fail("invalid repeat count")
        self.position = repeat.end()
        written = repeat[0]
        if self.groups[-1].ungreedy:
            lazy = len(written) > 1 and written.endswith("?")
            written = written[:-1] if lazy else f"{written}?"
        self.written.append(written)
        return False

    def _escape(self) -> bool:
        if self.pattern.startswith(r"\Q", self.position):
            end = self.pattern.find(r"\E", self.position)
            quoted = self.pattern[self.position + 2 : end if end >= 0 else None]
            self.position = end + 2 if end >= 0 else len(self.pattern)
            self.written += [re.escape(character) for character in quoted]
            return bool(quoted)
        match = _ESCAPE.match(self.pattern, self.position)
        if match is None:
            raise self._fail("trailing backslash at end of expression")
        self.position = match.end()
        if match["one"] in _ANCHORS:
            self.written.append(_ANCHORS[match["one"]])
        elif match["one"] in _PERL:
            self.written.append(_PERL[match["one"]])
        elif match["property"]:
            self.written.append(f"[{_property(match['property'])}]")
        else:
            self.written.append(self._character(match))
        return True

    def _character(self, match: re.Match[str]) -> str:
        code = match["braced"] or match["hex"]
        if code or match["octal"]:
            number = int(code, 16) if code else int(match["octal"], 8)
            if number > 0x10FFFF:
                raise self._fail("invalid escape sequence")
            return re.escape(chr(number))
        one = match["one"]
        if one in _CONTROLS:
            return f"\\{one}"
        if one.isalnum() and one.isascii():
            raise self._fail("invalid escape sequence")
        return re.escape(one)

    def _group(self) -> bool:
        match = _GROUP.match(self.pattern, self.position)
        if match is None:
            raise self._fail("invalid or unsupported Perl syntax")
        self.position = match.end()
        around = self.groups[-1]
        if match["end"] is None:
            self.written.append(f"(?P<{match['name']}>" if match["name"] else "(")
            self.groups.append(_Group(multiline=around.multiline, ungreedy=around.ungreedy))
            return False
        on, _, off = (match["flags"] or "").partition("-")
        group = _Group(
            multiline=(around.multiline or "m" in on) and "m" not in off,
            ungreedy=(around.ungreedy or "U" in on) and "U" not in off,
        )
        on, off = on.replace("U", ""), off.replace("U", "")
        prefix = f"(?{on}-{off}:" if off else f"(?{on}:"
        self.written.append(prefix)
        if match["end"] == ":":
            self.groups.append(group)
        else:
            around.multiline, around.ungreedy = group.multiline, group.ungreedy
            around.flagged.append(prefix)
        return False

    def _close(self) -> bool:
        if len(self.groups) == 1:
            raise self._fail("unexpected )")
        self.position += 1
        self.written.append(")" * (len(self.groups.pop().flagged) + 1))
        return True

    def _class(self) -> bool:
        self.position += 1
        negated = self.pattern.startswith("^", self.position)
        self.position += negated
        parts: list[str] = []
        while not (parts and self.pattern.startswith("]", self.position)):
            if self.position >= len(self.pattern):
                raise self._fail("missing closing ]")
            parts.append(self._member())
        self.position += 1
        self.written.append(f"[{'^' if negated else ''}{''.join(parts)}]")
        return True

    def _member(self) -> str:
        """One character, range or class inside of a class."""
        named = _NAMED_CLASS.match(self.pattern, self.position)
        if named is not None:
            self.position = named.end()
            if named["name"] not in _POSIX:
                raise self._fail("invalid character class range")
            members = _POSIX[named["name"]]
            return _complement(members) if named["negated"] else members
        match = _ESCAPE.match(self.pattern, self.position)
        if match is not None and (match["one"] in _PERL or match["property"]):
            self.position = match.end()
            if match["property"]:
                return _property(match["property"])
            members = _PERL[match["one"]][1:-1]
            return _complement(members[1:]) if members.startswith("^") else members
        first = self._single()
        if not self.pattern.startswith("-", self.position) or self.pattern.startswith("-]", self.position):
            return first
        self.position += 1
        return f"{first}-{self._single()}"

    def _single(self) -> str:
        """One character inside of a class."""
        match = _ESCAPE.match(self.pattern, self.position)
        if match is not None:
            self.position = match.end()
            return self._character(match)
        if self.pattern[self.position :] in ("", "\\"):
            raise self._fail("missing closing ]")
        self.position += 1
        return re.escape(self.pattern[self.position - 1])


def _complement(members: str) -> str:
    """The members of a class for all characters but those of an ASCII class."""
    inside = re.compile(f"[{members}]")
    outside = [f"\\x{code:02x}" for code in range(128) if not inside.match(chr(code))]
    return "".join(outside) + "\x80-\U0010ffff"


@lru_cache(maxsize=1)
def _categories() -> str:
    """The two letters of the Unicode general category of each character, one after the other."""
    from unicodedata import category

    return "".join(map(category, map(chr, range(sys.maxunicode + 1))))


@lru_cache(maxsize=64)
def _property(written: str) -> str:
    """The members of a Unicode general category such as `pL` or `p{Lu}`, `P` for all others."""
    name = written[1:].strip("{}")
    negated = (written[0] == "P") != name.startswith("^")
    category = f"{name.removeprefix('^'):.<2}"
    runs = list(re.finditer(f"(?P<inside>(?:{category})+)|(?:(?!{category})..)+", _categories()))
    if len(category) > 2 or len(runs) == 1:
        raise re.error(f"invalid character class range: `\\{written}`")
    wanted = [run for run in runs if (run["inside"] is None) == negated]
    return "".join(
        [f"{re.escape(chr(run.start() // 2))}-{re.escape(chr(run.end() // 2 - 1))}" for run in wanted]
    )
