"""JSON Schema: what in a value breaks a schema, and what in a schema makes it none.

A schema speaks draft 2020-12, or another default of the caller's, or the dialect that its `$schema` names. Nothing is
ever fetched: a reference stays within its schema. The words are ours because the library's quote the value, which may
be a secret.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Self

from tweed_shim import documents, interpreter, subprocesses
from tweed_shim.children import Child
from tweed_shim.errors import ContractError, HostError

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

Schema = Mapping[str, Any]

DRAFT_7 = "http://json-schema.org/draft-07/schema#"
DRAFT_2020_12 = "https://json-schema.org/draft/2020-12/schema"

_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_KINDS = {
    "object": "a map", "array": "a list", "string": "text", "integer": "a whole number", "number": "a number",
    "boolean": "true/false", "null": "nothing",
}  # fmt: skip
_PROBLEMS = {
    "const": "must be {}",
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "exclusiveMinimum": "must be more than {}",
    "exclusiveMaximum": "must be less than {}",
    "multipleOf": "must be a multiple of {}",
    "minLength": "must have {} or more characters",
    "maxLength": "must have {} or fewer characters",
    "pattern": "must match the pattern {}",
    "format": "must be a valid {}",
    "minItems": "must hold {} or more values",
    "maxItems": "must hold {} or fewer values",
    "uniqueItems": "must not hold the same value twice",
    "minProperties": "must hold {} or more names",
    "maxProperties": "must hold {} or fewer names",
    "oneOf": "must fit exactly one of the forms that the schema allows",
    "anyOf": "must fit one of the forms that the schema allows",
}

_MOST_MEMORY = 1 << 30
_PIECE = 64 << 10
_SERVE = 'schemas.answer_parent(settings["seconds"])'


class Fault(NamedTuple):
    """What breaks a schema, and where: `problem` reads on from the name of the path."""

    path: tuple[str | int, ...]
    problem: str


def faults(
    schema: Schema,
    value: Any,
    *,
    what: str = "the JSON Schema",
    dialect: str = DRAFT_2020_12,
    formats: bool = False,
) -> list[Fault]:
    """Return everything in `value` that breaks `schema`, each fault once.

    what: names the schema in errors. dialect: what a schema speaks that does not say it. formats: check the formats of
    `schema_formats`, too. Raises ContractError where the schema cannot be applied: a reference leads nowhere or round
    in a circle.
    """
    import referencing

    checker = None
    if formats:
        from tweed_shim import schema_formats

        checker = schema_formats.checker()
    kind = _validator_class(schema, dialect)
    return _faults(kind(schema, registry=referencing.Registry(), format_checker=checker), value, what)


class Examiner:
    """A process that holds values against schemas that strangers wrote, for the length of a `with` block.

    A regular expression or a nest of references can take for ever, and a regular expression stops every thread of
    the program that embeds this one. seconds: of processor time in all; with 1 GiB of memory that has to be enough.
    What the process imports takes a while, which passes unnoticed where it is started some time before it is asked.
    """

    def __init__(self, *, seconds: int = 10) -> None:
        self._seconds = seconds
        self._child: Child | None = None

    def __enter__(self) -> Self:
        """Itself; nothing is started yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self.end()

    def end(self) -> None:
        """End the process, if there is one."""
        if self._child is not None:
            self._child.close()
            self._child = None

    def start(self) -> None:
        """Start the process, if that has not been done."""
        if self._child is not None:
            return
        self._child = Child()
        try:
            self._start(self._child)
        except BaseException:
            self.end()
            raise

    def _start(self, child: Child) -> None:
        settings = json.dumps({"path": interpreter.import_path(), "seconds": self._seconds})
        questions, self._to = child.pipe()
        self._from, answers = child.pipe()
        self._process = subprocesses.Supervised(child)
        code = interpreter.import_in_child("schemas") + _SERVE
        command = subprocesses.Command([interpreter.find(), "-I", "-c", code, settings])
        self._process.start(command, {0: questions.fileno(), 1: answers.fileno()})
        self._process.let_go()
        questions.close()
        answers.close()

    def faults(
        self,
        schema: Schema,
        value: bytes,
        *,
        what: str,
        dialect: str = DRAFT_2020_12,
        vetted: bool = False,
        formats: bool = False,
    ) -> list[Fault]:
        """Return everything in a value, which is JSON, that breaks a schema, each fault once.

        what, dialect, formats: see `faults`. vetted: the schema is known to have no flaws. Raises ContractError where
        it has, or cannot be applied, or the process needs too much.
        """
        self.start()
        options = {"what": what, "dialect": dialect, "formats": formats}
        question = {"schema": schema, "vetted": vetted, "options": options}
        answer = self._ask(json.dumps(question).encode() + b"\n" + value.strip() + b"\n")
        if not answer:
            self._refuse(what)
        found = json.loads(answer)
        if isinstance(found, str):
            raise ContractError(found)
        return [Fault(tuple(path), problem) for path, problem in found]

    def _ask(self, question: bytes) -> bytes:
        """The line that is answered, empty where the process has ended."""
        with suppress(BrokenPipeError):
            while question:
                question = question[os.write(self._to.fileno(), question) :]
        answer = bytearray()
        while not answer.endswith(b"\n") and (piece := os.read(self._from.fileno(), _PIECE)):
            answer += piece
        return bytes(answer)

    def _refuse(self, what: str) -> NoReturn:
        try:
            code = self._process.code()
        finally:
            self.end()
        if code == -signal.SIGXCPU:
            raise ContractError(
                f"{what} cannot be applied to the configuration within {self._seconds} s of processor time; its "
                "author has to make it simpler"
            )
        if code is not None and code < 0:
            # SIGKILL is not ours: it is the host's that has no memory left, or somebody's.
            raise HostError(
                f"the configuration could not be checked: the process that checks it was ended by {_name(-code)}; "
                "run it again"
            )
        if code == interpreter.NO_PACKAGE:
            raise interpreter.no_package("the check of a configuration")
        raise HostError(
            f"the configuration could not be checked: a process of its own failed with code {code or 1}; install "
            "tweed-shim anew"
        )


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def strangers_faults(
    schema: Schema, value: bytes, *, what: str, vetted: bool, seconds: int = 10
) -> list[Fault]:
    """The faults that an Examiner finds."""
    with Examiner(seconds=seconds) as examiner:
        return examiner.faults(schema, value, what=what, vetted=vetted)


def answer_parent(seconds: int) -> None:
    """Be the process of an Examiner: a question and a value are lines of stdin, the faults a line of stdout."""
    import resource

    # The processor's time, not the clock's: it also ends a process whose parent is gone. The kernel sends SIGXCPU at
    # the soft limit, and at the hard one the SIGKILL that anybody else may send, too (getrlimit(2)).
    for kind, most, more in ((resource.RLIMIT_CPU, seconds, 1), (resource.RLIMIT_AS, _MOST_MEMORY, 0)):
        allowed = resource.getrlimit(kind)[1]
        if allowed == resource.RLIM_INFINITY or allowed > most:
            resource.setrlimit(kind, (most, most + more if allowed == resource.RLIM_INFINITY else allowed))
    import_module("jsonschema")
    while line := sys.stdin.buffer.readline():
        question, value = json.loads(line), json.loads(sys.stdin.buffer.readline())
        print(json.dumps(_answer(value, **question)), flush=True)  # noqa: T201 - a pipe is listening


def _answer(value: Any, schema: Schema, vetted: bool, options: dict[str, Any]) -> list[Fault] | str:
    what = options["what"]
    try:
        if not vetted and (found := flaws(schema, what=what, dialect=options["dialect"])):
            return f"{what} is not valid: {shown(found, 'it')}; its author has to mend it"
        return faults(schema, value, **options)
    except ContractError as refused:
        return str(refused)
    except MemoryError:
        return (
            f"{what} cannot be applied to the configuration within {_MOST_MEMORY >> 30} GiB of memory; its author has "
            "to make it simpler"
        )


def flaws(schema: Schema, *, what: str = "the JSON Schema", dialect: str = DRAFT_2020_12) -> list[Fault]:
    """Everything that keeps a schema from being one that can be applied."""
    kind = _validator_class(schema, dialect)
    if kind is None:
        return [Fault(("$schema",), "is not a known dialect of JSON Schema")]
    metaschema = kind(kind.META_SCHEMA, format_checker=kind.FORMAT_CHECKER)
    return [*_remote_references(schema, ()), *_faults(metaschema, schema, what)]


def shown(found: Iterable[Fault], whole: str) -> str:
    """Faults as part of one sentence; `whole` is what the value is called there."""
    return documents.listed(
        [f"{documents.path_name(path) if path else whole} {problem}" for path, problem in found]
    )


def _validator_class(schema: Schema, dialect: str) -> Any:
    """The validator of the schema's dialect, or None where it is not known."""
    from jsonschema.validators import validator_for

    unknown: Any = None
    return validator_for({"$schema": dialect, **schema}, default=unknown)


def _remote_references(schema: Any, path: tuple[str | int, ...]) -> Iterator[Fault]:
    entries: Iterable[tuple[str | int, Any]] = ()
    if isinstance(schema, dict):
        entries = schema.items()
    elif isinstance(schema, list):
        entries = enumerate(schema)
    for key, entry in entries:
        if key in _REFERENCES and isinstance(entry, str) and not entry.startswith("#"):
            yield Fault((*path, key), "must begin with #: a schema that is elsewhere is never fetched")
        yield from _remote_references(entry, (*path, key))


def _faults(validator: "Validator", value: Any, what: str) -> list[Fault]:
    from jsonschema.exceptions import best_match

    try:
        errors = [best_match([error]) or error for error in validator.iter_errors(value)]
        return list(dict.fromkeys(fault for error in errors for fault in _explain(error)))
    except MemoryError:
        raise
    except Exception as fault:  # noqa: BLE001 - a stranger's schema trips the library in many ways
        kind = type(fault).__name__
        raise ContractError(
            f"{what} cannot be applied: a reference in it leads nowhere or in a circle, or a rule of it is beyond "
            f"what can be checked ({kind}); its author has to mend it"
        ) from None


def _explain(error: Any) -> Iterable[Fault]:
    """Say what a ValidationError means; Any, because its stubs have every field possibly unset."""
    path, keyword, expected = tuple(error.absolute_path), error.validator, error.validator_value
    if keyword in _BY_NAME:
        return [Fault((*path, name), problem) for name, problem in _BY_NAME[keyword](error)]
    if keyword in ("anyOf", "oneOf") and error.context and not any(each.path for each in error.context):
        forms = dict.fromkeys(fault.problem for each in error.context for fault in _explain(each))
        return [Fault(path, " or ".join(forms))]
    if keyword == "type":
        kinds = [expected] if isinstance(expected, str) else expected
        return [Fault(path, "must be " + " or ".join(_KINDS.get(kind, kind) for kind in kinds))]
    if keyword == "enum":
        return [Fault(path, "must be one of " + _part(expected)[1:-1])]
    if keyword in _PROBLEMS:
        return [Fault(path, _PROBLEMS[keyword].format(_part(expected)))]
    if keyword is None:
        # A schema that is `false`; the library does not tell which part of the value it was held against.
        return [Fault(path, "holds what the schema forbids")]
    return [Fault(path, f"breaks the rule {_part(keyword)} of the schema")]


def _part(value: Any) -> str:
    """A part of a schema for people, cut where it is long."""
    text = json.dumps(value)
    return text if len(text) <= 200 else text[:200] + "..."


def _missing(error: Any) -> Iterator[tuple[str, str]]:
    for name in error.validator_value:
        if name not in error.instance:
            yield name, "is required"


def _unknown(error: Any) -> Iterator[tuple[str, str]]:
    import difflib
    import re

    known = error.schema.get("properties", {})
    patterns = error.schema.get("patternProperties", {})
    for name in error.instance:
        if name in known or any(re.search(pattern, name) for pattern in patterns):
            continue
        close = difflib.get_close_matches(name, known, n=1)
        yield name, "is not known here" + (f" (did you mean {_part(close[0])}?)" if close else "")


_BY_NAME: dict[str, Callable[[Any], Iterator[tuple[str, str]]]] = {
    "required": _missing,
    "additionalProperties": _unknown,
}
