"""The credentials that a pattern's `bind` prints: parse them, and print them in other formats.

They are one map; values may be nested. All values are secrets: no message contains one.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from tweed_shim.data import document_paths, document_writer, documents
from tweed_shim.errors import ContractError, RefusedFormat, UsageError
from tweed_shim.tweed import environment

FORMATS = environment.FORMATS
# The most faults in a message: an image may print thousands.
_MOST_NAMED = 5


def parse(data: bytes, *, image: str) -> dict[str, Any]:
    """Parse the YAML that `bind` of `image` printed into data that JSON can express.

    Scalars are read as in every other document (see data/documents.py). Raises ContractError, with lines, for anything
    but one map within the limits of a document (4 MiB, 100 levels, 100,000 values), and for NUL in a text.
    """
    document = documents.load(data, name=f"the credentials that bind of {image} printed", error=ContractError)
    if not isinstance(document.value, dict):
        raise ContractError(
            f"bind of {image} printed no credentials: it has to print one YAML map of names to values, "
            "and all else on stderr"
        )
    problems = [f"{document.location(path)} holds NUL" for path in _paths_with_nul(document.value, ())]
    if problems:
        raise ContractError(
            f"the credentials that bind of {image} printed break the contract: "
            f"{document_paths.join_problems(problems)}"
        )
    return document.value


def _paths_with_nul(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of each text with NUL, and of each value whose name has one."""
    if isinstance(value, str) and "\0" in value:
        yield path
    if not isinstance(value, dict | list):
        return
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(key, str) and "\0" in key:
            yield (*path, key)
        else:
            yield from _paths_with_nul(inner, (*path, key))


def render(credentials: Mapping[str, Any], kind: str, *, allow: Collection[str] = ()) -> str:
    """Return credentials as text in one of FORMATS, with a newline at the end.

    yaml and json hold any value. The others are those of `environment.render`, and hold only names of variables with
    text: `true` and `false`, numbers as JSON has them, and nothing for null. allow: as for `environment.render`.

    Raises UsageError for an unknown format, RefusedFormat for values and names that the format cannot hold, and
    SteeringVariable as `environment.render` does.
    """
    if kind not in FORMATS:
        raise UsageError(f"credentials have no format '{kind}': choose one of {', '.join(FORMATS)}")
    if kind == "yaml":
        return document_writer.to_yaml(dict(credentials))
    if kind == "json":
        return document_writer.to_json(dict(credentials))
    if problems := [problem for each in credentials.items() if (problem := _problem(*each)) is not None]:
        more = f" and {len(problems) - _MOST_NAMED} more" if len(problems) > _MOST_NAMED else ""
        raise RefusedFormat(
            f"the format {kind} holds only text under names of variables, and in the credentials that the image "
            f"printed {', '.join(problems[:_MOST_NAMED])}{more}",
            "use the format yaml or json",
        )
    variables = {name: _text(value) for name, value in credentials.items()}
    subject = "the credentials that the image printed set"
    return environment.render(variables, kind, allow=allow, subject=subject)


def _problem(name: str, value: object) -> str | None:
    path = document_paths.path_name([name])
    if isinstance(value, dict | list):
        return f"{path} is a {'map' if isinstance(value, dict) else 'list'}"
    return None if environment.is_variable_name(name) else f"{path} cannot name a variable"


def texts(credentials: Mapping[str, Any]) -> list[str]:
    """Return the values of the formats that hold only text, in order. Maps and lists have none."""
    return [_text(value) for value in credentials.values() if not isinstance(value, dict | list)]


def _text(value: str | float | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
