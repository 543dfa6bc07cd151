"""`exec` and `spec`: the operations of a backend image."""

import os
import sys

from tweed_shim import files
from tweed_shim.cli import running
from tweed_shim.cli.commands import Arguments, Context, Parser, checked, wrong_value
from tweed_shim.errors import ConfigError, HostError, SteeringVariable, UsageError
from tweed_shim.lean.typing import Any
from tweed_shim.tweed.backend import ENV_STREAMS, Backend, Options, Setup
from tweed_shim.tweed.contract import OPERATIONS, find_operation

FORMATS = {"metadata": ("yaml", "json"), "setup": ("yaml", "json", "dotenv", "shell")}


def _configure_common(parser: Parser) -> None:
    parser.add_argument(
        "image",
        metavar="IMAGE",
        help="[docker://]REGISTRY/REPO[:TAG][@DIGEST], oci:DIR[:TAG], "
        "oci-archive:FILE[:TAG] or docker-archive:FILE[:TAG]",
    )
    parser.add_argument("operation", metavar="OPERATION", help=", ".join(OPERATIONS))
    parser.add_argument("--cloud", metavar="NAME", default="default", help="the cloud (default: default)")
    parser.add_argument(
        "--interaction", metavar="ID", help="setup and teardown: the interaction (default: default)"
    )
    run = running.configure(
        parser, networks="metadata always has none; ", timeouts="60 for metadata, else 3600"
    )
    run.add_argument(
        "--env-stream",
        choices=ENV_STREAMS,
        type=checked(Options.CHECKS["env_stream"]),
        default="stdout",
        help="setup: the stream on which the image writes its environment (default: stdout)",
    )


def configure_exec(parser: Parser) -> None:
    """The options of `exec`."""
    _configure_common(parser)
    parser.add_argument(
        "--config", metavar="FILE", help="configure: the configuration, JSON or YAML; - is stdin"
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="setup: again, where the interaction is still set up; "
        "what the earlier setup made in the backend stays there. "
        "configure: give the cloud over to this image, where another one configured it",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS["setup"],
        help="metadata, setup: how the result is printed (default: yaml)",
    )
    parser.add_argument(
        "--allow",
        metavar="NAME",
        action="append",
        default=[],
        type=_variable,
        help="setup: print this variable with --format shell or dotenv although it steers a shell or the programs that "
        "a shell starts, such as PATH; may be repeated (docs/environment.md lists these names)",
    )


def _variable(text: str) -> str:
    if not (text.isascii() and text.isidentifier()):
        raise wrong_value(
            f"{text!r} is not the name of a variable: give one name, and the option again for each other"
        )
    return text


def configure_spec(parser: Parser) -> None:
    """The options of `spec`."""
    _configure_common(parser)


def _backend(arguments: Arguments, context: Context) -> Backend:
    find_operation(arguments.operation)
    if arguments.interaction is not None and arguments.operation not in ("setup", "teardown"):
        raise UsageError(
            f"--interaction does not go with {arguments.operation}; it goes with setup and teardown"
        )
    options = Options(**running.options(arguments), env_stream=arguments.env_stream)
    console = running.console(context)
    return Backend(context.settings, arguments.image, arguments.cloud, options, console)


def _check_options(arguments: Arguments) -> None:
    operation = arguments.operation
    if arguments.config is not None and operation != "configure":
        raise UsageError(f"--config does not go with {operation}; it goes with configure")
    if arguments.replace and operation not in ("configure", "setup"):
        raise UsageError(f"--replace does not go with {operation}; it goes with configure and setup")
    if arguments.allow and operation != "setup":
        raise UsageError(f"--allow does not go with {operation}; it goes with setup")
    formats = FORMATS.get(operation, ())
    if arguments.format is not None and arguments.format not in formats:
        which = (
            f"{operation} can print {', '.join(formats)}"
            if formats
            else "only metadata and setup print a result"
        )
        raise UsageError(f"--format {arguments.format} does not go with {operation}: {which}")


def exec_command(arguments: Arguments, context: Context) -> int:
    """Run an operation and print its result."""
    backend = _backend(arguments, context)
    _check_options(arguments)
    interaction = arguments.interaction or "default"
    if arguments.operation == "metadata":
        from tweed_shim.tweed import metadata

        _print(metadata.render(backend.metadata(), arguments.format or "yaml"))
    elif arguments.operation == "configure":
        backend.configure(_read_configuration(arguments.config), replace=arguments.replace)
    elif arguments.operation == "check":
        backend.check()
    elif arguments.operation == "setup":
        _print_environment(backend.setup(interaction, replace=arguments.replace), arguments)
    else:
        backend.teardown(interaction)
    return 0


def _print_environment(found: Setup, arguments: Arguments) -> None:
    """Print the environment of an interaction. Where that fails, the message says that the interaction is set up."""
    from tweed_shim.tweed import environment

    try:
        _print(environment.render(found, arguments.format or "yaml", allow=arguments.allow))
    except (HostError, SteeringVariable) as error:
        raise type(error)(
            f"{error}; interaction '{found.interaction}' is set up all the same, so tear it down before the next try: "
            f"tweed-shim exec {arguments.image} teardown --cloud {arguments.cloud} --interaction {found.interaction}"
        ) from error


def spec_command(arguments: Arguments, context: Context) -> int:
    """Print the config.json that an operation would run with."""
    import json

    backend = _backend(arguments, context)
    _print(json.dumps(backend.spec(arguments.operation, arguments.interaction or "default"), indent=2) + "\n")
    return 0


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _read_configuration(path: str | None) -> dict[str, Any]:
    from tweed_shim.documents import MAX_BYTES
    from tweed_shim.tweed import configuration

    if path is None and os.isatty(0):
        raise ConfigError("configure needs a configuration: name a file with --config, or give it on stdin")
    if path is None or path == "-":
        name = "the configuration on stdin"
        return configuration.read(files.read_bounded(sys.stdin.buffer, MAX_BYTES, name), name=name)
    try:
        with open(path, "rb") as file:
            return configuration.read(files.read_bounded(file, MAX_BYTES, path), name=path)
    except OSError as error:
        # Whoever gave the configuration itself does not want to see it in a log.
        name = f"file '{path}'" if "{" not in path and ":" not in path else "file that --config names"
        raise ConfigError(
            f"the {name} cannot be read ({error.strerror}); to give the configuration itself, use --config - and stdin"
        ) from error
