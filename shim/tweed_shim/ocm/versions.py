"""Versions of a component: their order, the newest of them, and those that meet a constraint.

Order and constraints are those of `tweed_shim.base.semver`. What is no semantic version, which a repository may
hold all the same, comes before all that are.
"""

from collections.abc import Iterable
from functools import cmp_to_key

from tweed_shim.base import semver
from tweed_shim.errors import BadVersion


def ordered(versions: Iterable[str]) -> list[str]:
    """The oldest first; of equal ones, such as `1.0` and `1.0.0`, the order is that of their texts."""
    known = {version: _parse(version) for version in sorted(versions)}
    others = [version for version, parsed in known.items() if parsed is None]
    parsed = [(version, parsed) for version, parsed in known.items() if parsed is not None]
    by_precedence = cmp_to_key(semver.compare)
    return others + [version for version, _ in sorted(parsed, key=lambda pair: by_precedence(pair[1]))]


def newest(versions: Iterable[str], constraint: str = "") -> str | None:
    """The newest version that meets a constraint, or None. Raises BadVersion for what is no constraint."""
    found = meeting(versions, constraint)
    return found[-1] if found else None


def meeting(versions: Iterable[str], constraint: str) -> list[str]:
    """The semantic versions that meet a constraint, the oldest first; all versions where there is none.

    Raises BadVersion for what is no constraint.
    """
    if not constraint:
        return ordered(versions)
    wanted = semver.parse_constraint(constraint)
    found = []
    for version in ordered(versions):
        parsed = _parse(version)
        if parsed is not None and wanted.objections(parsed) is None:
            found.append(version)
    return found


def is_constraint(text: str) -> bool:
    """Whether a text can only be a constraint such as `>=1.2,<2` or `^1.2`, and no version."""
    if _parse(text) is not None:
        return False
    try:
        semver.parse_constraint(text)
    except BadVersion:
        return False
    return True


def _parse(version: str) -> semver.Version | None:
    try:
        return semver.parse(version)
    except BadVersion:
        return None
