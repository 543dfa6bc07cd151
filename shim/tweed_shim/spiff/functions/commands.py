"""Commands and the environment."""

from __future__ import annotations

import os

from tweed_shim.host import subprocesses
from tweed_shim.spiff.functions import content
from tweed_shim.spiff.functions.arguments import parse_integer, texts
from tweed_shim.spiff.functions.encodings import to_bytes, to_text
from tweed_shim.spiff.functions.permission import file_path, need_commands
from tweed_shim.spiff.functions.registry import Call, function
from tweed_shim.spiff.tree.values import MAX_TEXT, Fault, Value, simple_text


@function("env", 1)
def env(call: Call, *names: Value) -> Value:
    """Return the value of an environment variable; for several names, a map of those that are set."""
    need_commands(call, "env")
    asked: list[str] = []
    for position, name in enumerate(names):
        if isinstance(name, list):
            asked += texts(name, f"elements of list(arg {position}) to env must be simple values")
        elif name is not None:
            text = simple_text(name)
            if text is None:
                raise Fault(f"env argument {position} must be simple value or list")
            asked.append(text)
    found = {name: to_text(value) for name in asked if (value := os.environb.get(to_bytes(name))) is not None}
    if len(asked) != 1:
        return found
    if not found:
        raise Fault(f"environment variable '{asked[0]}' not set")
    return found[asked[0]]


@function("exec", 1)
def exec_(call: Call, *arguments: Value) -> Value:
    """Run a command once and return what it prints: a map, a YAML document behind `---`, an integer or a string."""
    return _exec(call, arguments, cached=True)


@function("exec_uncached", 1)
def exec_uncached(call: Call, *arguments: Value) -> Value:
    """Run a command as `exec` does, but each time."""
    return _exec(call, arguments, cached=False)


def _exec(call: Call, arguments: tuple[Value, ...], *, cached: bool) -> Value:
    need_commands(call, "exec")
    return _result(call, _output(call, _command(arguments), None, cached=cached))


@function("pipe", 2)
def pipe(call: Call, data: Value, *arguments: Value) -> Value:
    """Run a command once with a value on its standard input, and return what it prints."""
    return _pipe(call, data, arguments, cached=True)


@function("pipe_uncached", 2)
def pipe_uncached(call: Call, data: Value, *arguments: Value) -> Value:
    """Run a command as `pipe` does, but each time."""
    return _pipe(call, data, arguments, cached=False)


def _pipe(call: Call, data: Value, arguments: tuple[Value, ...], *, cached: bool) -> Value:
    need_commands(call, "pipe")
    command = _command(arguments)
    return _result(call, _output(call, command, to_bytes(_argument(data)), cached=cached))


def _command(arguments: tuple[Value, ...]) -> list[str]:
    """Return the command and its arguments, which may be given as one list. Raises Fault."""
    if isinstance(arguments[0], list):
        if len(arguments) > 1 or not arguments[0]:
            raise Fault("list not allowed for command argument")
        arguments = tuple(arguments[0])
    name = content.scalar(arguments[0])
    if not name:
        raise Fault("invalid command argument: the command must be a non-empty string")
    return [file_path(name), *[_argument(argument) for argument in arguments[1:]]]


def _argument(value: Value) -> str:
    try:
        return content.text(value)
    except Fault as fault:
        raise Fault(f"invalid command argument: {fault}") from None


def _output(call: Call, command: list[str], data: bytes | None, *, cached: bool) -> bytes:
    key = ("exec", data, tuple(command))
    if not cached or key not in call.cache:
        try:
            code, found = _run(command, data)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise Fault(f"execution '{command[0]}' failed: {reason.lower()}") from None
        if code:
            raise Fault(f"execution '{command[0]}' failed: it ended with {code}")
        if not cached:
            return found
        call.cache[key] = found
    output: bytes = call.cache[key]
    return output


def _run(command: list[str], data: bytes | None) -> tuple[int, bytes]:
    """Run a command and return its exit code and its output. Raises Fault above MAX_TEXT bytes of output."""
    ended = subprocesses.run(
        subprocesses.Command(command, stdin=data or b"", stderr=subprocesses.INHERITED, most=MAX_TEXT)
    )
    if len(ended.output) > MAX_TEXT:
        raise Fault(f"execution '{command[0]}' failed: it wrote more than {MAX_TEXT >> 20} MiB")
    return ended.code, ended.output


def _result(call: Call, output: bytes) -> Value:
    text = to_text(output)
    try:
        document = call.parse(text, "import", call.name)
    except Fault:
        document = None
    if isinstance(document, dict) or (document is not None and text.startswith("---\n")):
        return document
    text = text.rstrip("\n")
    number = parse_integer(text)
    return text if number is None else number
