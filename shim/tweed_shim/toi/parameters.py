"""Make the configuration and the parameters of an executor from input, scheme, template and libraries.

The order is that of the reference implementation. Where there is a scheme, or no template, the input is evaluated by
itself with the libraries as stubs, and validated. Then it is the first stub of the template.
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


class TemplateInput(Record):
    """The input of a template: a YAML text, empty where there is none, and its name in messages.

    whose: the package or the executor that has the template and the scheme, as messages name it.
    """

    text: str
    name: str
    whose: str


def process(
    source: TemplateInput,
    templating: Templating,
    libraries: Sequence[Document],
    *,
    templates: Templates,
    schema_worker: SchemaWorker,
) -> Any:
    """Evaluate a template with its input, and return the result; None where there is neither.

    Raises ConfigError where the input breaks the scheme, or cannot be compared with it, SpiffError where a template
    cannot be resolved, TimedOut where templates take too long.
    """
    text = source.text if _holds_something(source) else ""
    if text and (templating.scheme is not None or templating.template is None):
        value = templates.merge_single(Document(text, source.name), libraries)
    if templating.scheme is not None:
        text = _as_json(value, source) if text else ""
        _validate(source, text or "{}", templating.scheme, schema_worker)
    if templating.template is None:
        return value if text else None
    template = Document(spiff.dump(templating.template, "json"), f"the template of {source.whose}")
    return templates.merge_single(template, [*([Document(text, source.name)] if text else []), *libraries])


def map_parameters(
    mapping: Any, parameters: Any, functions: Functions, *, whose: str, templates: Templates
) -> Any:
    """Make the parameters of an executor from those of the package, with the mapping of its entry.

    Raises SpiffError where the mapping cannot be resolved, TimedOut where it takes too long.
    """
    template = Document(spiff.dump(mapping, "json"), f"the parameter mapping of {whose}")
    stubs = [] if parameters is None else [Document(_as_text(parameters), "the parameters")]
    return templates.merge_single(template, stubs, functions)


def _holds_something(source: TemplateInput) -> bool:
    """Return whether the input holds more than blank lines and comments."""
    return any(line.strip() and not line.lstrip().startswith("#") for line in source.text.splitlines())


def _as_json(value: Any, source: TemplateInput) -> str:
    paths = [document_paths.path_name(path) for path in _infinite(value)]
    if paths:
        raise ConfigError(
            f"{source.name} have infinite numbers or NaN at {document_paths.join_problems(paths)}, which the scheme "
            f"(configScheme) of {source.whose} cannot validate: write finite ones, or quote what is text"
        )
    return spiff.dump(value, "json")


def _infinite(value: Any) -> Iterator[tuple[str | int, ...]]:
    """Yield the paths of numbers that are infinite or NaN."""
    left: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while left:
        path, each = left.pop()
        if isinstance(each, float) and not math.isfinite(each):
            yield path
        elif isinstance(each, dict):
            left += [((*path, key), inner) for key, inner in each.items()]
        elif isinstance(each, list):
            left += [((*path, index), inner) for index, inner in enumerate(each)]


def _as_text(value: Any) -> str:
    """Return a value as JSON, which is read faster, or else as YAML, which has infinity and NaN."""
    try:
        return spiff.dump(value, "json")
    except SpiffError:
        return spiff.dump(value)


def _validate(
    source: TemplateInput, text: str, scheme: Mapping[str, Any], schema_worker: SchemaWorker
) -> None:
    name = f"the scheme (configScheme) of {source.whose}"
    # The reference implementation's validator (gojsonschema) knows no newer dialect than draft 7.
    faults = schema_worker.faults(
        scheme, text.encode(), what=name, dialect=jsonschema.DRAFT_7, formats=SCHEMA_FORMATS
    )
    if faults:
        raise ConfigError(
            f"{source.name} do not fit {source.whose}: {jsonschema.describe_faults(faults, 'the document')}; "
            "correct them"
        )


__all__ = ["Document", "SpiffError", "TemplateInput", "map_parameters", "process"]
