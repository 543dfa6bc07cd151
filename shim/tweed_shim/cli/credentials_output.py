"""Print the credentials of a binding: for `exec IMAGE bind` and `instances credentials`."""

from collections.abc import Mapping

from tweed_shim.base.lean.typing import Any
from tweed_shim.cli import environment_output
from tweed_shim.cli.commands import Arguments
from tweed_shim.errors import ConfigError, HostError, RefusedFormat
from tweed_shim.tweed import command_lines


def show(credentials: Mapping[str, Any], arguments: Arguments) -> None:
    """Print credentials in the format of `--format`.

    Raises RefusedFormat and HostError.
    """
    from tweed_shim.tweed.credentials import render, texts

    kind = arguments.format or "yaml"
    text = render(credentials, kind, allow=arguments.allow)
    environment_output.deliver(text, kind, texts(credentials))


def show_recorded(credentials: Mapping[str, Any], instance: str, binding: str, arguments: Arguments) -> None:
    """Print the credentials of a binding that was made before. Raises HostError and ConfigError."""
    try:
        show(credentials, arguments)
    except RefusedFormat as error:
        raise ConfigError(
            environment_output.refused(error, _command(instance, binding), arguments)
        ) from error


def show_new(credentials: Mapping[str, Any], instance: str, binding: str, arguments: Arguments) -> None:
    """Print the credentials of a binding that has just been made.

    Raises HostError or ConfigError, which say that the binding is made and how to print its credentials.
    """
    command = _command(instance, binding)
    made = (
        f"binding '{binding}' is made all the same: print its credentials with '{command}', or end it with: "
        f"{command_lines.unbind(arguments.image, instance, binding)}"
    )
    try:
        show(credentials, arguments)
    except BrokenPipeError as error:
        raise HostError(f"the reader of the output has gone; {made}") from error
    except RefusedFormat as error:
        raise ConfigError(f"{environment_output.refused(error, command, arguments)}; {made}") from error
    except HostError as error:
        raise HostError(f"{error}; {made}") from error


def _command(instance: str, binding: str) -> str:
    return f"tweed-shim instances credentials {instance} {binding}"
