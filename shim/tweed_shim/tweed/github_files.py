"""The files and the lines with which a step of a GitHub workflow hands variables on and has their values masked.

A step appends variables to the file that $GITHUB_ENV names, for the later steps of its job, or outputs to that of
$GITHUB_OUTPUT. Lines `::add-mask::` on its standard output have the runner replace a value in all that is logged
afterwards. Source: docs.github.com, "Workflow commands for GitHub Actions"; how the runner reads both is in its
FileCommandManager and ActionCommand (github.com/actions/runner).
"""

import os
from collections.abc import Iterable, Mapping

# "You can't overwrite the value of the default environment variables named GITHUB_* and RUNNER_*."
_SET_BY_GITHUB = ("GITHUB_", "RUNNER_")
# The runner ends a step with an error where it sets one of these.
_REFUSED_BY_GITHUB = frozenset(("NODE_OPTIONS",))
# A mask of these would make all later logs unreadable, and no secret is so short.
_SHORTEST_MASKED = 4
_NEVER_MASKED = frozenset(("true", "false", "null"))
_COMMAND_ESCAPES = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})


def fault(name: str) -> str | None:
    """Tell why GitHub lets no step set a variable, or return None."""
    if name.startswith(_SET_BY_GITHUB):
        return "is set by GitHub itself"
    return "is refused by GitHub" if name.upper() in _REFUSED_BY_GITHUB else None


def blocks(variables: Mapping[str, str]) -> str:
    """Return variables as `NAME<<DELIMITER` blocks for the file of $GITHUB_ENV or $GITHUB_OUTPUT.

    Each block has a random delimiter that its value does not contain, so that no value can end its own block.
    """
    return "".join(_block(*each) for each in variables.items())


def _block(name: str, value: str) -> str:
    delimiter = _random_delimiter()
    while delimiter in value:
        delimiter = _random_delimiter()
    return f"{name}<<{delimiter}\n{value}\n{delimiter}\n"


def _random_delimiter() -> str:
    return f"end_{os.urandom(16).hex()}"


def masks(values: Iterable[str]) -> str:
    """Return the `::add-mask::` lines for values, to be printed before anything can log one of them.

    Each line of a value gets a mask of its own, because logs consist of lines. `true`, `false`, `null` and what has
    fewer than four characters get none.
    """
    lines = {line.strip(): None for value in values for line in value.replace("\r", "\n").split("\n")}
    masked = (line for line in lines if len(line) >= _SHORTEST_MASKED and line.lower() not in _NEVER_MASKED)
    return "".join(f"::add-mask::{line.translate(_COMMAND_ESCAPES)}\n" for line in masked)
