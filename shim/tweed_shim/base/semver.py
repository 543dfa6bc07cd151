"""Semantic versions and constraints on them, as Masterminds/semver v3 (Go) reads both.

    compare(parse("v1.2"), parse("1.2.0-rc.1"))  ->  1
    parse_constraint("^1.2 || 3.x").objections(parse("1.9.0"))  ->  None

A version may begin with `v`, may leave out its patch or its minor and patch, and may have leading zeros. The
order is that of the Semantic Versioning specification 2.0.0, section 11: build metadata does not count.

A constraint is one or more comparisons that all have to hold, with commas or blanks between them; `||` separates
alternatives. The operators are `=` (or none), `!=`, `>`, `<`, `>=`, `<=`, `~` (also `~>`: the same minor) and `^`
(the same leftmost number that is not 0). `x`, `X`, `*` or nothing at all stand for any number. `1.2 - 1.4` is
`>= 1.2, <= 1.4`. Prereleases match only where the alternative itself names one.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tweed_shim.base.records import Record, replace
from tweed_shim.errors import BadVersion

_IDENTIFIERS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_EXTRAS = rf"(?:-(?P<prerelease>{_IDENTIFIERS}))?(?:\+(?P<metadata>{_IDENTIFIERS}))?"
_VERSION = re.compile(
    rf"v?(?P<major>[0-9]+)(?:\.(?P<minor>[0-9]+))?(?:\.(?P<patch>[0-9]+))?{_EXTRAS}", re.ASCII
)
_ANY = ("x", "X", "*")
_NUMBER = r"[0-9xX*]+"
_PATTERN = rf"v?(?P<major>{_NUMBER})(?:\.(?P<minor>{_NUMBER}))?(?:\.(?P<patch>{_NUMBER}))?{_EXTRAS}"
_COMPARISON = re.compile(rf"\s*(?P<operator>!=|>=|=>|<=|=<|~>|[=><~^]?)\s*(?P<version>{_PATTERN})", re.ASCII)
_SEPARATOR = re.compile(r"\s*,\s*|\s+", re.ASCII)
_UNNAMED = re.sub(r"\?P<\w+>", "?:", _PATTERN)
_RANGE = re.compile(rf"({_UNNAMED})\s+-\s+({_UNNAMED})", re.ASCII)
_LARGEST = 2**64 - 1


class Version(Record):
    """A version. `str()` is its full form without `v`, `original` the text it was read from."""

    major: int
    minor: int = 0
    patch: int = 0
    prerelease: str = ""
    metadata: str = ""
    original: str = ""

    def __str__(self) -> str:
        """Return the canonical form: `major.minor.patch[-prerelease][+metadata]`."""
        prerelease = f"-{self.prerelease}" if self.prerelease else ""
        metadata = f"+{self.metadata}" if self.metadata else ""
        return f"{self.major}.{self.minor}.{self.patch}{prerelease}{metadata}"

    def _changed(self, **parts: str | int) -> Version:
        """Return this version with other parts. A `v` before it stays."""
        changed = replace(self, **parts)
        v = "v" if self.original.startswith("v") else ""
        return replace(changed, original=f"{v}{changed}")

    def next_major(self) -> Version:
        """Return the major release after this version."""
        return self._changed(major=self.major + 1, minor=0, patch=0, prerelease="", metadata="")

    def next_minor(self) -> Version:
        """Return the minor release after this version."""
        return self._changed(minor=self.minor + 1, patch=0, prerelease="", metadata="")

    def next_patch(self) -> Version:
        """Return the patch release after this version; after a prerelease that is its release."""
        patch = self.patch if self.prerelease else self.patch + 1
        return self._changed(patch=patch, prerelease="", metadata="")

    def with_prerelease(self, prerelease: str) -> Version:
        """Return this version with another prerelease, or none (""). Raises BadVersion."""
        if prerelease:
            _check_prerelease(prerelease, prerelease)
        return self._changed(prerelease=prerelease)

    def with_metadata(self, metadata: str) -> Version:
        """Return this version with other build metadata, or none (""). Raises BadVersion."""
        if metadata and not re.fullmatch(_IDENTIFIERS, metadata):
            raise BadVersion(metadata, "invalid metadata string")
        return self._changed(metadata=metadata)


def parse(text: str) -> Version:
    """Read a version. Raises BadVersion."""
    match = _VERSION.fullmatch(text)
    if match is None:
        raise BadVersion(text, "invalid semantic version")
    major, minor, patch = (_number(text, match[part] or "0") for part in ("major", "minor", "patch"))
    prerelease = match["prerelease"] or ""
    if prerelease:
        _check_prerelease(text, prerelease)
    return Version(major, minor, patch, prerelease, match["metadata"] or "", text)


def compare(a: Version, b: Version) -> int:
    """Return -1, 0 or 1: `a` comes before `b`, has the same rank, or comes after it."""
    left, right = _precedence(a), _precedence(b)
    return (left > right) - (left < right)


def _precedence(version: Version) -> tuple[object, ...]:
    """Return the key that versions are ordered by: Semantic Versioning 2.0.0, section 11.

    A release comes after its prereleases, numbers come before words, and a longer list after its beginning.
    """
    numbers = (version.major, version.minor, version.patch)
    if not version.prerelease:
        return *numbers, 1
    return *numbers, 0, [_rank(part) for part in version.prerelease.split(".")]


def _rank(part: str) -> tuple[int, int, str]:
    # Numbers have no leading zeros: of two, the one with more digits is larger. So none is too long to be converted.
    return (0, len(part), part) if part.isdigit() else (1, 0, part)


def _number(text: str, digits: str) -> int:
    # Longer than any 64-bit number, leading zeros aside: not worth converting.
    digits = digits.lstrip("0")
    if len(digits) > 20 or (number := int(digits or "0")) > _LARGEST:
        raise BadVersion(text, f"version segment {digits[:24]} out of range")
    return number


def _check_prerelease(text: str, prerelease: str) -> None:
    if not re.fullmatch(_IDENTIFIERS, prerelease):
        raise BadVersion(text, "invalid prerelease string")
    if any(len(part) > 1 and part.isdigit() and part.startswith("0") for part in prerelease.split(".")):
        raise BadVersion(text, "version segment starts with 0")


class Comparison(Record):
    """One operator and the version to its right.

    text: that version as it was written. A part that was left out or is a wildcard counts as 0 in `version`;
    `any_part`: some part is open. `any_minor`: all from the minor on are. `any_patch`: only the patch is.
    """

    operator: str
    text: str
    version: Version
    any_part: bool = False
    any_minor: bool = False
    any_patch: bool = False


class Constraint(Record):
    """Alternatives, each of them comparisons that all have to hold."""

    alternatives: tuple[tuple[Comparison, ...], ...]

    def objections(self, version: Version) -> list[str] | None:
        """Return why a version does not meet this constraint; None if it does."""
        reasons: list[str] = []
        for comparisons in self.alternatives:
            found = _objections(version, comparisons)
            if not found:
                return None
            reasons += [
                reason for reason in found if reason != _unwanted_prerelease(version) or reason not in reasons
            ]
        return reasons


def parse_constraint(text: str) -> Constraint:
    """Read a constraint. Raises BadVersion."""
    written = _RANGE.sub(r">= \1, <= \2 ", text)
    return Constraint(tuple([_parse_alternative(text, part) for part in written.split("||")]))


def _parse_alternative(text: str, part: str) -> tuple[Comparison, ...]:
    comparisons = []
    position, end = 0, len(part.rstrip())
    while True:
        match = _COMPARISON.match(part, position, end)
        if match is None:
            raise BadVersion(text, f"improper constraint: {part}")
        comparisons.append(_parse_comparison(text, match))
        if match.end() == end:
            return tuple(comparisons)
        separator = _SEPARATOR.match(part, match.end(), end)
        if separator is None:
            raise BadVersion(text, f"improper constraint: {part}")
        position = separator.end()


def _parse_comparison(text: str, match: re.Match[str]) -> Comparison:
    parts = [match["major"], match["minor"], match["patch"]]
    wild = next((at for at, part in enumerate(parts) if part is None or part in _ANY), None)
    known = parts[:wild]
    if any(not (part or "").isdigit() for part in known):
        raise BadVersion(text, "constraint parser error")
    prerelease = match["prerelease"] or ""
    if prerelease:
        _check_prerelease(text, prerelease)
    major, minor, patch = ([_number(text, part) for part in known] + [0, 0, 0])[:3]
    version = Version(major, minor, patch, prerelease)
    operator = {"=": "", "=>": ">=", "=<": "<=", "~>": "~"}.get(match["operator"], match["operator"])
    return Comparison(operator, match["version"], version, wild is not None, wild == 1, wild == 2)


def _objections(version: Version, comparisons: tuple[Comparison, ...]) -> list[str]:
    if version.prerelease and not any(comparison.version.prerelease for comparison in comparisons):
        return [_unwanted_prerelease(version)]
    checked = [(_CHECKS[comparison.operator](version, comparison), comparison) for comparison in comparisons]
    return [f"{version} {reason.format(comparison.text)}" for reason, comparison in checked if reason]


def _unwanted_prerelease(version: Version) -> str:
    return f"{version} is a prerelease version and the constraint is only looking for release versions"


# Each check returns what is wrong with a version, with {} for the text of the comparison, or "".

_LESS = "is less than {}"
_OTHER_MAJOR = "does not have same major version as {}"


def _equal(version: Version, to: Comparison) -> str:
    if to.any_part:
        return _tilde(version, to)
    return "" if compare(version, to.version) == 0 else "is not equal to {}"


def _not_equal(version: Version, to: Comparison) -> str:
    equal = compare(version, to.version) == 0
    if to.any_minor:
        equal = version.major == to.version.major
    elif to.any_patch:
        same = (version.major, version.minor) == (to.version.major, to.version.minor)
        named = version.prerelease or to.version.prerelease
        equal = same and (not named or _same_prerelease(version, to.version))
    return "is equal to {}" if equal else ""


def _same_prerelease(a: Version, b: Version) -> bool:
    return compare(Version(0, prerelease=a.prerelease), Version(0, prerelease=b.prerelease)) == 0


def _greater(version: Version, to: Comparison) -> str:
    limit = to.version
    greater = compare(version, limit) > 0
    if to.any_minor:
        greater = version.major > limit.major
    elif to.any_patch:
        greater = (version.major, version.minor) > (limit.major, limit.minor)
    return "" if greater else "is less than or equal to {}"


def _less(version: Version, to: Comparison) -> str:
    return "" if compare(version, to.version) < 0 else "is greater than or equal to {}"


def _at_least(version: Version, to: Comparison) -> str:
    return "" if compare(version, to.version) >= 0 else _LESS


def _at_most(version: Version, to: Comparison) -> str:
    limit = to.version
    if not to.any_part:
        most = compare(version, limit) <= 0
    elif to.any_minor:
        most = version.major <= limit.major
    else:
        most = (version.major, version.minor) <= (limit.major, limit.minor)
    return "" if most else "is greater than {}"


def _tilde(version: Version, to: Comparison) -> str:
    limit = to.version
    if compare(version, limit) < 0:
        return _LESS
    if (limit.major, limit.minor, limit.patch) == (0, 0, 0) and not (to.any_minor or to.any_patch):
        return ""
    if version.major != limit.major:
        return _OTHER_MAJOR
    if version.minor != limit.minor and not to.any_minor:
        return "does not have same major and minor version as {}"
    return ""


def _caret(version: Version, to: Comparison) -> str:
    limit = to.version
    if compare(version, limit) < 0:
        return _LESS
    if version.major != limit.major:
        return _OTHER_MAJOR
    if limit.major > 0 or to.any_minor:
        return ""
    if limit.minor > 0 or to.any_patch:
        hint = ". Expected minor versions to match when constraint major version is 0"
        return "" if version.minor == limit.minor else f"does not have same minor version as {{}}{hint}"
    if version.minor > 0:
        return "does not have same minor version as {}"
    if version.patch == limit.patch:
        return ""
    return "does not equal {}. Expect version and constraint to equal when major and minor versions are 0"


_CHECKS: dict[str, Callable[[Version, Comparison], str]] = {
    "": _equal,
    "!=": _not_equal,
    ">": _greater,
    "<": _less,
    ">=": _at_least,
    "<=": _at_most,
    "~": _tilde,
    "^": _caret,
}
