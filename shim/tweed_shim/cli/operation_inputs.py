"""What the operations of both contracts are given on the command line: options of the run, and documents."""

import sys

from tweed_shim.base import files
from tweed_shim.cli import run_options
from tweed_shim.cli.commands import Arguments
from tweed_shim.errors import ConfigError
from tweed_shim.tweed.operation_runner import Options


def name(given: str | None) -> str:
    """Return the name of a cloud, an interaction, an instance or a binding: `default` where none was given.

    An empty name is kept and refused later: it is that of a variable of a script that is not set.
    """
    return "default" if given is None else given


def options(arguments: Arguments) -> Options:
    """Return the options for pulling the image and running its operations."""
    return Options(
        **run_options.options(arguments),
        env_stream=arguments.env_stream,
        keep_limit=arguments.keep_limit,
        # Only `exec` has this option.
        keep=getattr(arguments, "keep", None),
    )


def read_document(option: str, path: str, *, what: str) -> tuple[bytes, str]:
    """Return the content of a document that an option names, and its name for messages.

    path: `-` is stdin. what: the document for messages, such as `the configuration`. Raises ConfigError.
    """
    from tweed_shim.data.documents import MAX_BYTES

    if path == "-":
        name = f"{what} on stdin"
        return files.read_bounded(sys.stdin.buffer, MAX_BYTES, name), name
    try:
        with open(path, "rb") as file:
            return files.read_bounded(file, MAX_BYTES, path), path
    except OSError as error:
        # The value may be the document itself, with its passwords, so it is not repeated.
        name = f"file '{path}'" if "{" not in path and ":" not in path else f"file that {option} names"
        raise ConfigError(
            f"the {name} cannot be read ({error.strerror}); to give {what} itself, use {option} - and stdin"
        ) from error
