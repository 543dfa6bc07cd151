"""Files and directories: make, find and list them."""

from __future__ import annotations

import hashlib
import os
import tempfile as temporary
from collections.abc import Callable
from contextlib import suppress

from tweed_shim.base import named_files
from tweed_shim.base.records import replace
from tweed_shim.spiff.functions import content
from tweed_shim.spiff.functions.permission import file_path, need_files
from tweed_shim.spiff.functions.registry import Call, function
from tweed_shim.spiff.tree.values import Fault, Value

_FILE = content.Options(mode=0o644)
_DIRECTORY = content.Options(mode=0o755)


def _reason(error: Exception) -> str:
    """Return what went wrong without the file's name: a temporary name would be different each time."""
    return error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)


@function("write", 2, 3)
def write(call: Call, file: Value, value: Value, how: Value = None) -> Value:
    """Write a value into a file, and return the text that was written."""
    need_files(call, "write")
    name = content.scalar(file)
    if not name:
        raise Fault("file argument must be a non-empty string")
    try:
        options = _FILE if how is None else content.options(how, _FILE)
        tags, path = content.tagged(name)
        binary = options.binary or ("#" in tags and isinstance(value, str))
        text, data = content.data(value, replace(options, binary=binary))
        named_files.write(file_path(path), data, mode=options.mode)
    except (Fault, OSError, ValueError) as error:
        where = f"open {name}: " if isinstance(error, OSError) else ""
        raise Fault(f"cannot write file: {where}{_reason(error)}") from None
    return text


@function("tempfile", 1, 2)
def tempfile(call: Call, value: Value, how: Value = None) -> Value:
    """Write a value into a file that the end of the merge removes. The same content has the same file."""
    need_files(call, "tempfile")
    try:
        options = _FILE if how is None else content.options(how, _FILE)
        _, data = content.data(value, options)
        key = ("tempfile", hashlib.sha512(data).digest())
        if key not in call.cache:
            call.cache[key] = _temporary(call, data)
        if how is not None and options.mode != _FILE.mode:
            os.chmod(call.cache[key], options.mode)
    except (Fault, OSError) as error:
        raise Fault(f"cannot create temporary file: {_reason(error)}") from None
    return call.cache[key]


def _temporary(call: Call, data: bytes) -> str:
    descriptor, path = temporary.mkstemp(prefix=call.temporary_prefix)
    call.at_end(lambda: _removed(path))
    with open(descriptor, "wb") as file:
        file.write(data)
    return path


def _removed(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


@function("mkdir", 1, 2)
def mkdir(call: Call, path: Value, how: Value = None) -> Value:
    """Make a directory with its missing parents, and return its path. The path may be a list of its parts."""
    need_files(call, "mkdir")
    whole = _joined(path)
    try:
        options = _DIRECTORY if how is None else content.options(how, _DIRECTORY)
        if options.binary or options.several:
            raise Fault(f"{'binary' if options.binary else 'multi'} option not supported, only permissions")
        named_files.make_directory(whole, options.mode)
    except (Fault, OSError, ValueError) as error:
        where = f"mkdir {error.filename}: " if isinstance(error, OSError) else ""
        raise Fault(f'cannot create directory "{whole}": {where}{_reason(error)}') from None
    return whole


def _joined(path: Value) -> str:
    whole = content.scalar(path)
    if whole is None:
        if not isinstance(path, list):
            raise Fault("path argument must be a non-empty string")
        parts = [content.scalar(part) for part in path]
        for position, part in enumerate(parts):
            if not part:
                raise Fault(f"path component {position} must be a non-empty string")
        whole = os.path.normpath("/".join([part for part in parts if part])) if parts else ""
    if not whole:
        raise Fault("path argument must not be empty")
    return whole


@function("lookup_file", 2)
def lookup_file(call: Call, name: Value, *directories: Value) -> Value:
    """Return the paths of the files with a name in directories."""
    return _lookup(call, name, directories, wanted=os.path.isfile)


@function("lookup_dir", 2)
def lookup_dir(call: Call, name: Value, *directories: Value) -> Value:
    """Return the paths of the directories with a name in directories."""
    return _lookup(call, name, directories, wanted=os.path.isdir)


def _lookup(call: Call, name: Value, directories: tuple[Value, ...], wanted: Callable[[str], bool]) -> Value:
    need_files(call, "lookup")
    paths = [
        path for at, argument in enumerate(directories) for path in _directories(call.name, at, argument)
    ]
    if not isinstance(name, str):
        raise Fault(f"{call.name}: first argument must be a string")
    if not name:
        raise Fault(f"{call.name}: first argument is empty string")
    if name.startswith("/"):
        return [name] if wanted(name) else []
    return [f"{path}/{name}" for path in paths if path and wanted(f"{path}/{name}")]


def _directories(function_name: str, position: int, argument: Value) -> list[str]:
    if isinstance(argument, str):
        return [argument]
    if not isinstance(argument, list):
        raise Fault(f"{function_name}: argument {position} must be a string or a list of strings")
    found = [entry for entry in argument if entry is not None]
    if not all(isinstance(entry, str) for entry in found):
        raise Fault(f"{function_name}: argument {position} must be a list of strings")
    return found


@function("list_files", 1, 1)
def list_files(call: Call, directory: Value) -> Value:
    """Return the names of what is not a directory in a directory, in order."""
    return _listed(call, directory, directories=False)


@function("list_dirs", 1, 1)
def list_dirs(call: Call, directory: Value) -> Value:
    """Return the names of the directories in a directory, in order."""
    return _listed(call, directory, directories=True)


def _listed(call: Call, directory: Value, *, directories: bool) -> Value:
    need_files(call, "listFiles")
    if not isinstance(directory, str):
        raise Fault("list: argument must be a string")
    if not directory:
        raise Fault("list: argument is empty string")
    if not os.path.isdir(directory):
        raise Fault(f'list: "{directory}" is no directory or does not exist')
    try:
        with os.scandir(directory) as entries:
            found = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False) == directories]
    except OSError as error:
        raise Fault(f'list: "{directory}": error reading directory: {_reason(error)}') from None
    return sorted(found, key=os.fsencode)
