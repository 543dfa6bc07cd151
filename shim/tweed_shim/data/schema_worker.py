"""Check values against strangers' schemas in a process of its own, with limits on processor time and memory.

A regular expression, or nested references, can take for ever, and a regular expression of Python cannot be interrupted:
it stops every thread of the program. So the check runs in a child that the kernel ends.
"""

import json
import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn, Self

from tweed_shim.data import jsonschema, plain_schema
from tweed_shim.data.jsonschema import DRAFT_2020_12, Schema, SchemaFault
from tweed_shim.errors import ContractError, HostError
from tweed_shim.host import interpreter, subprocesses
from tweed_shim.host.children import Child

_MAX_MEMORY = 1 << 30
_READ_BYTES = 64 << 10
_SERVE = 'schema_worker.serve_parent(settings["seconds"])'


class SchemaWorker:
    """A child process that checks values against schemas, for the length of a `with` block.

    seconds: its processor time in all. It has 1 GiB of memory. Its imports take some time, which costs nothing where
    `start` is called a while before the first question.
    """

    def __init__(self, *, seconds: int = 10) -> None:
        self._seconds = seconds
        self._child: Child | None = None

    def __enter__(self) -> Self:
        """Return itself; nothing is started yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self.end()

    def end(self) -> None:
        """End the process, if it runs."""
        if self._child is not None:
            self._child.close()
            self._child = None

    def start(self) -> None:
        """Start the process, unless it runs."""
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
        code = interpreter.import_in_child("data", "schema_worker") + _SERVE
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
        schema_checked: bool = False,
        formats: str = "",
        value_name: str = "the configuration",
    ) -> list[SchemaFault]:
        """Return everything in a value that breaks a schema, each fault once.

        value: JSON. value_name: what messages call it. what, dialect, formats: as in `jsonschema.value_faults`.
        schema_checked: the schema is known to be valid. Raises ContractError where it is not, where it cannot be
        applied, or where the process exceeds its limits; HostError where the process dies.
        """
        self.start()
        options = {"what": what, "dialect": dialect, "formats": formats}
        question = {
            "schema": schema, "schema_checked": schema_checked, "options": options, "value_name": value_name
        }  # fmt: skip
        answer = self._ask(json.dumps(question).encode() + b"\n" + value.strip() + b"\n")
        if not answer:
            self._raise_end(what, value_name)
        result = json.loads(answer)
        if isinstance(result, str):
            raise ContractError(result)
        return [SchemaFault(tuple(path), problem) for path, problem in result]

    def _ask(self, question: bytes) -> bytes:
        """Write a question and return the line of the answer; empty where the process has ended."""
        with suppress(BrokenPipeError):
            while question:
                question = question[os.write(self._to.fileno(), question) :]
        answer = bytearray()
        while not answer.endswith(b"\n") and (data := os.read(self._from.fileno(), _READ_BYTES)):
            answer += data
        return bytes(answer)

    def _raise_end(self, what: str, value_name: str) -> NoReturn:
        """Raise why the process has ended before it answered."""
        try:
            code = self._process.code()
        finally:
            self.end()
        if code == -signal.SIGXCPU:
            raise ContractError(
                f"{what} cannot be applied to {value_name} within {self._seconds} s of processor time; ask its author "
                "to make it simpler"
            )
        if code is not None and code < 0:
            # The limit on processor time ends with SIGXCPU. SIGKILL is from the kernel, which is out of memory, or from
            # another process; the schema is not to blame.
            raise HostError(
                f"{value_name} could not be checked: the process that checks schemas was ended by "
                f"{_signal_name(-code)}; run it again"
            )
        if code == interpreter.NO_PACKAGE:
            raise interpreter.no_package(f"the check of {value_name}")
        raise HostError(
            f"{value_name} could not be checked: the process that checks schemas ended with exit code {code or 1}; "
            "reinstall tweed-shim"
        )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def faults_in_worker(
    schema: Schema,
    value: bytes,
    *,
    what: str,
    schema_checked: bool,
    value_name: str = "the configuration",
    seconds: int = 10,
) -> list[SchemaFault]:
    """Return what breaks a schema in one value, checked by a SchemaWorker of its own where it has to be.

    schema_checked: the schema is known to be valid.
    """
    if schema_checked and plain_schema.accepts(schema, json.loads(value)):
        return []
    with SchemaWorker(seconds=seconds) as worker:
        return worker.faults(schema, value, what=what, schema_checked=schema_checked, value_name=value_name)


def serve_parent(seconds: int) -> None:
    """Be the process of a SchemaWorker: read two lines of stdin, a question and a value; print the faults as a line."""
    import resource

    # Processor time, and not the clock's, also ends a process whose parent is gone. The kernel sends SIGXCPU at the
    # soft limit, which tells this end from others, and SIGKILL at the hard one, a second later (man 2 getrlimit).
    for kind, limit, grace in ((resource.RLIMIT_CPU, seconds, 1), (resource.RLIMIT_AS, _MAX_MEMORY, 0)):
        allowed = resource.getrlimit(kind)[1]
        if allowed == resource.RLIM_INFINITY or allowed > limit:
            hard = limit + grace if allowed == resource.RLIM_INFINITY else allowed
            resource.setrlimit(kind, (limit, hard))
    import_module("jsonschema")
    while line := sys.stdin.buffer.readline():
        question, value = json.loads(line), json.loads(sys.stdin.buffer.readline())
        print(json.dumps(_answer(value, **question)), flush=True)  # noqa: T201 - stdout is the pipe to the parent


def _answer(
    value: Any, schema: Schema, *, schema_checked: bool, options: dict[str, Any], value_name: str
) -> list[tuple[tuple[str | int, ...], str]] | str:
    """Return the path and the problem of each fault, or a sentence why the value cannot be checked."""
    what, dialect = options["what"], options["dialect"]
    try:
        if not schema_checked and (faults := jsonschema.schema_faults(schema, what=what, dialect=dialect)):
            return f"{what} is not valid: {jsonschema.describe_faults(faults, 'it')}; ask its author to correct it"
        return [(fault.path, fault.problem) for fault in jsonschema.value_faults(schema, value, **options)]
    except ContractError as error:
        return str(error)
    except MemoryError:
        return (
            f"{what} cannot be applied to {value_name} within {_MAX_MEMORY >> 30} GiB of memory; ask its "
            "author to make it simpler"
        )
