"""Versions of a component: their order, the newest one, and those that meet a constraint.

Order and constraints are those of `tweed_shim.base.semver`. A repository may have versions that are no semantic
versions; they come before the others.
"""

from collections.abc import Iterable
from functools import cmp_to_key

from tweed_shim.base import semver
from tweed_shim.errors import BadVersion


def ordered(versions: Iterable[str]) -> list[str]:
    """Return versions from the oldest to the newest; equal ones, such as `1.0` and `1.0.0`, in text order."""
    known = {version: _parse(version) for version in sorted(versions)}
    others = [version for version, parsed in known.items() if parsed is None]
    parsed = [(version, parsed) for version, parsed in known.items() if parsed is not None]
    by_precedence = cmp_to_key(semver.compare)
    return others + [version for version, _ in sorted(parsed, key=lambda pair: by_precedence(pair[1]))]


def newest(versions: Iterable[str], constraint: str = "") -> str | None:
    """Return the newest version that meets a constraint, or None. Raises BadVersion for a malformed constraint."""
    matches = matching(versions, constraint)
    return matches[-1] if matches else None


def matching(versions: Iterable[str], constraint: str) -> list[str]:
    """Return the semantic versions that meet a constraint, the oldest first; all versions without a constraint.

    Raises BadVersion for a malformed constraint.
    """
    if not constraint:
        return ordered(versions)
    parsed_constraint = semver.parse_constraint(constraint)
    matches = []
    for version in ordered(versions):
        parsed = _parse(version)
        if parsed is not None and parsed_constraint.objections(parsed) is None:
            matches.append(version)
    return matches


def _parse(version: str) -> semver.Version | None:
    try:
        return semver.parse(version)
    except BadVersion:
        return None
