"""What an executor is given to work with, made of what package and user say: schemes, templates, libraries.

The order is that of the reference implementation: what is given is processed by itself, with the libraries as stubs,
where a scheme is to be held against it or there is no template; then it is the first stub of the template.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tweed_shim import spiff
from tweed_shim.base.records import Record
from tweed_shim.data import document_paths, jsonschema
from tweed_shim.data.schema_worker import SchemaWorker
from tweed_shim.errors import ConfigError
from tweed_shim.spiff import SpiffError
from tweed_shim.spiff.merging import Document
from tweed_shim.toi.common_fields import Templating
from tweed_shim.toi.templates import Functions, Templates

# The module is named, not imported: the worker process imports it.
SCHEMA_FORMATS = "tweed_shim.toi.schema_formats"


class Given(Record):
    """What is given for a configuration: a YAML text, empty where nothing is; `name` is what messages call it.

    whose: the package or the executor that has the template and the scheme.
    """

    text: str
    name: str
    whose: str


def processed(
    given: Given,
    templating: Templating,
    libraries: Sequence[Document],
    templates: Templates,
    examiner: SchemaWorker,
) -> Any:
    """Make a configuration of what is given and of a template; None where there is nothing to make it of.

    examiner: checks values against schemes. Raises ConfigError where what is given breaks the scheme, or cannot be
    compared with it, SpiffError where a template cannot be resolved, TimedOut where templates take too long.
    """
    text = given.text if _holds_something(given) else ""
    if text and (templating.scheme is not None or templating.template is None):
        value = templates.merge_single(Document(text, given.name), libraries)
    if templating.scheme is not None:
        text = _as_json(value, given) if text else ""
        _validate(given, text or "{}", templating.scheme, examiner)
    if templating.template is None:
        return value if text else None
    template = Document(spiff.dump(templating.template, "json"), f"the template of {given.whose}")
    return templates.merge_single(template, [*([Document(text, given.name)] if text else []), *libraries])


def mapped(mapping: Any, parameters: Any, functions: Functions, *, whose: str, templates: Templates) -> Any:
    """Make the parameters of one executor of those of the package, with the mapping for it.

    Raises SpiffError where the mapping cannot be resolved, TimedOut where it takes too long.
    """
    template = Document(spiff.dump(mapping, "json"), f"the parameter mapping of {whose}")
    stubs = [] if parameters is None else [Document(_written(parameters), "the parameters")]
    return templates.merge_single(template, stubs, functions)


def _holds_something(given: Given) -> bool:
    """Whether there is more than comments in it."""
    return any(line.strip() and not line.lstrip().startswith("#") for line in given.text.splitlines())


def _as_json(value: Any, given: Given) -> str:
    infinite = [document_paths.path_name(path) for path in _infinite(value)]
    if infinite:
        raise ConfigError(
            f"{given.name} have numbers that JSON does not know, nor the scheme (configScheme) of {given.whose}, at "
            f"{document_paths.join_problems(infinite)}: write finite ones, or quote what is text"
        )
    return spiff.dump(value, "json")


def _infinite(value: Any) -> Iterator[tuple[str | int, ...]]:
    """Where there are infinities, and what is no number."""
    left: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while left:
        path, each = left.pop()
        if isinstance(each, float) and not math.isfinite(each):
            yield path
        elif isinstance(each, dict):
            left += [((*path, key), inner) for key, inner in each.items()]
        elif isinstance(each, list):
            left += [((*path, index), inner) for index, inner in enumerate(each)]


def _written(value: Any) -> str:
    """As JSON, which is read faster, or as YAML, which has numbers that JSON has not."""
    try:
        return spiff.dump(value, "json")
    except SpiffError:
        return spiff.dump(value)


def _validate(given: Given, text: str, scheme: Mapping[str, Any], examiner: SchemaWorker) -> None:
    what = f"the scheme (configScheme) of {given.whose}"
    # The reference's validator speaks no newer dialect, nor does a scheme that was written for it.
    faults = examiner.faults(
        scheme, text.encode(), what=what, dialect=jsonschema.DRAFT_7, formats=SCHEMA_FORMATS
    )
    if faults:
        raise ConfigError(
            f"{given.name} do not fit {given.whose}: {jsonschema.describe_faults(faults, 'the document')}; correct them"
        )


__all__ = ["Document", "Given", "SpiffError", "mapped", "processed"]
