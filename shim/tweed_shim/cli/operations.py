"""`exec` and `spec`: run an operation of a backend image, or print how it would be run."""

import os
import sys

from tweed_shim.base import files
from tweed_shim.base.lean.typing import Any
from tweed_shim.cli import environment_output, run_options
from tweed_shim.cli.commands import Arguments, Context, Parser, checked
from tweed_shim.errors import ConfigError, NotRecorded, RefusedFormat, UsageError
from tweed_shim.runtime.request import KEEP_LIMIT
from tweed_shim.tweed.backend import Backend
from tweed_shim.tweed.contract import OPERATIONS, find_operation
from tweed_shim.tweed.operation_runner import ENV_STREAMS, Options

FORMATS = {"metadata": ("yaml", "json"), "setup": environment_output.FORMATS}


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
    run = run_options.configure(
        parser, networks="metadata always has none; ", timeouts="60 for metadata, else 3600"
    )
    run.add_argument(
        "--keep-limit",
        metavar="SIZE",
        type=run_options.size,
        default=KEEP_LIMIT,
        help="configure, setup: the most that $OUT_CONFIG holds, such as 4g (default: 1g)",
    )
    run.add_argument(
        "--env-stream",
        choices=ENV_STREAMS,
        type=checked(Options.CHECKS["env_stream"]),
        default="stdout",
        help="setup: the stream on which the image writes its environment (default: stdout)",
    )


def configure_exec(parser: Parser) -> None:
    """Add the options of `exec`."""
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
        help="metadata, setup: how the result is printed, metadata as yaml or json; "
        f"{environment_output.FORMATS_HELP}",
    )
    environment_output.configure_allow(parser, "setup: ")


def configure_spec(parser: Parser) -> None:
    """Add the options of `spec`."""
    _configure_common(parser)


def _backend(arguments: Arguments, context: Context) -> Backend:
    find_operation(arguments.operation)
    if arguments.interaction is not None and arguments.operation not in ("setup", "teardown"):
        raise UsageError(
            f"--interaction does not go with {arguments.operation}; it goes with setup and teardown"
        )
    options = Options(
        **run_options.options(arguments), env_stream=arguments.env_stream, keep_limit=arguments.keep_limit
    )
    console = run_options.console(context)
    return Backend(context.settings, arguments.image, arguments.cloud, options=options, console=console)


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

        environment_output.write(metadata.render(backend.metadata(), arguments.format or "yaml"))
    elif arguments.operation == "configure":
        backend.configure(_read_configuration(arguments.config), replace=arguments.replace)
    elif arguments.operation == "check":
        backend.check()
    elif arguments.operation == "setup":
        try:
            environment = backend.setup(interaction, replace=arguments.replace)
        except NotRecorded as error:
            # The environment is not on record, so this is the only chance to print it.
            try:
                environment_output.show(error.environment, arguments)
            except RefusedFormat as refused:
                error.args = (f"{error}; its environment is lost: {refused.fault}",)
            raise
        environment_output.show_new(environment, interaction, arguments)
    else:
        backend.teardown(interaction)
    return 0


def spec_command(arguments: Arguments, context: Context) -> int:
    """Print the config.json that an operation would run with."""
    import json

    backend = _backend(arguments, context)
    environment_output.write(
        json.dumps(backend.spec(arguments.operation, arguments.interaction or "default"), indent=2) + "\n"
    )
    return 0


def _read_configuration(path: str | None) -> dict[str, Any]:
    from tweed_shim.data.documents import MAX_BYTES
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
        # The value may be the configuration itself, with its passwords, so it is not repeated.
        name = f"file '{path}'" if "{" not in path and ":" not in path else "file that --config names"
        raise ConfigError(
            f"the {name} cannot be read ({error.strerror}); to give the configuration itself, use --config - and stdin"
        ) from error
