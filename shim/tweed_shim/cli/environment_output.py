"""Print an environment, with its options: for `exec IMAGE setup` and `environment`.

A warm `exec` imports this module, so it imports little.
"""

import sys
from collections.abc import Iterable, Mapping

from tweed_shim.cli.commands import Arguments, Parser, wrong_value
from tweed_shim.errors import ConfigError, HostError, RefusedFormat, SteeringVariable

# Equal to those of tweed/environment.py (a test compares them), which is imported only to print an environment.
FORMATS = ("yaml", "json", "dotenv", "shell", "fish", "env-file", "systemd", "github", "github-output")
FORMATS_HELP = (
    "shell is for sh, bash, dash, busybox, ksh and zsh, fish for fish, dotenv has the dialect of python-dotenv, "
    "env-file is for docker run and podman run, systemd for EnvironmentFile=; github and github-output append to "
    "$GITHUB_ENV or $GITHUB_OUTPUT, and have the runner mask the values (default: yaml)"
)
# Their results go to a file that a variable names.
_GITHUB = ("github", "github-output")
# As many as the sentence of SteeringVariable names.
_MOST_NAMED = 5


def configure_allow(parser: Parser, operation: str = "", more: str = "") -> None:
    """Add the option `--allow`. operation, more: the beginning of its help text, and what it says besides."""
    parser.add_argument(
        "--allow",
        metavar="NAME",
        action="append",
        default=[],
        type=_variable,
        help=f"{operation}print this variable with a --format that is made to be evaluated although it steers a shell "
        f"or the programs that a shell starts, such as PATH{more}; may be repeated (docs/environment.md lists these "
        "names)",
    )


def _variable(text: str) -> str:
    if not (text.isascii() and text.isidentifier()):
        raise wrong_value(
            f"{text!r} is not the name of a variable: give one name, and the option again for each other"
        )
    return text


def show_new(environment: Mapping[str, str], interaction: str, arguments: Arguments) -> None:
    """Print the environment of an interaction that has just been set up.

    Raises HostError or ConfigError, which say that the interaction is set up and how to print its environment.
    """
    try:
        show(environment, arguments)
    except BrokenPipeError as error:
        raise HostError(
            f"the reader of the output has gone; {_still_set_up(interaction, arguments)}"
        ) from error
    except RefusedFormat as error:
        raise ConfigError(
            f"{_refused(error, interaction, arguments)}; {_still_set_up(interaction, arguments)}"
        ) from error
    except HostError as error:
        raise HostError(f"{error}; {_still_set_up(interaction, arguments)}") from error


def _still_set_up(interaction: str, arguments: Arguments) -> str:
    """Return the end of a message after a successful setup."""
    options = _options(interaction, arguments)
    return (
        f"interaction '{interaction}' is set up all the same: see its environment with 'tweed-shim environment "
        f"{options}', or tear it down with: tweed-shim exec {arguments.image} teardown {options}"
    )


def _options(interaction: str, arguments: Arguments) -> str:
    return f"--cloud {arguments.cloud or 'default'} --interaction {interaction}"


def _refused(error: RefusedFormat, interaction: str, arguments: Arguments) -> str:
    return refused(error, f"tweed-shim environment {_options(interaction, arguments)}", arguments)


def refused(error: RefusedFormat, command: str, arguments: Arguments) -> str:
    """Return the message for a refused format. command: it prints the same again; the options are added."""
    if not isinstance(error, SteeringVariable):
        return f"{error.fault}: use --format yaml or json"
    more = " ..." if len(error.names) > _MOST_NAMED else ""
    allowed = " ".join(f"--allow {name}" for name in error.names[:_MOST_NAMED]) + more
    again = f"{command} --format {arguments.format} {allowed}"
    return f"{error.fault}: use --format yaml or json, or if you mean it: {again}"


def show_recorded(environment: Mapping[str, str], arguments: Arguments) -> None:
    """Print the environment of an interaction that was set up before. Raises HostError and ConfigError."""
    try:
        show(environment, arguments)
    except RefusedFormat as error:
        raise ConfigError(_refused(error, arguments.interaction, arguments)) from error


def show(environment: Mapping[str, str], arguments: Arguments) -> None:
    """Print an environment in the format of `--format`. Raises RefusedFormat and HostError."""
    from tweed_shim.tweed.environment import render

    kind = arguments.format or "yaml"
    deliver(render(environment, kind, allow=arguments.allow), kind, environment.values())


def check_format(kind: str | None) -> None:
    """Raise HostError where a result could not be delivered in a format; call it before anything is run."""
    if kind in _GITHUB:
        from tweed_shim.cli import github_output

        github_output.check(kind)


def deliver(text: str, kind: str, values: Iterable[str]) -> None:
    """Print a rendered text, or append it to the file of a format of GitHub. values: the secrets in the text."""
    if kind in _GITHUB:
        from tweed_shim.cli import github_output

        github_output.write(kind, text, values)
    else:
        write(text)


def write(text: str) -> None:
    """Print a text and flush it."""
    sys.stdout.write(text)
    sys.stdout.flush()
