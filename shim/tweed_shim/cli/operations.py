"""`exec` and `spec`: run an operation of a backend or pattern image, or print how it would be run."""

import os

from tweed_shim.base.lean.typing import TYPE_CHECKING, Any
from tweed_shim.cli import environment_output, operation_inputs, run_options
from tweed_shim.cli.commands import Arguments, Context, Parser, checked
from tweed_shim.errors import ConfigError, NotRecorded, RefusedFormat, UsageError
from tweed_shim.runtime.console import Console
from tweed_shim.runtime.request import KEEP_LIMIT
from tweed_shim.tweed.contract import OPERATIONS, PATTERN, find_operation
from tweed_shim.tweed.operation_runner import ENV_STREAMS, Options

if TYPE_CHECKING:
    from tweed_shim.tweed.backend import Backend

# The formats of each result.
FORMATS = {
    "metadata": ("yaml", "json"),
    "setup": environment_output.FORMATS,
    "bind": environment_output.FORMATS,
}
# The operations that an option goes with; the others go with all.
GOES_WITH = {
    "cloud": ("metadata", "configure", "check", "setup", "teardown", "provision"),
    "interaction": ("setup", "teardown"),
    "config": ("configure",),
    "instance": ("provision", "bind", "unbind", "deprovision"),
    "binding": ("bind", "unbind"),
    "plan": ("provision",),
    "inputs": ("provision",),
    "no_backend": ("provision",),
    "keep_backend": ("provision", "bind", "unbind", "deprovision"),
    "replace": ("configure", "setup", "bind", "unbind", "deprovision"),
    "allow": ("setup", "provision", "bind", "unbind", "deprovision"),
    "format": tuple(FORMATS),
}


def configure_common(parser: Parser, *, default: str | None = None) -> None:
    """Add what all commands have that are about an operation.

    default: the operation where none is named; None where one has to be.
    """
    parser.add_argument(
        "image",
        metavar="IMAGE",
        help="[docker://]REGISTRY/REPO[:TAG][@DIGEST], oci:DIR[:TAG], "
        "oci-archive:FILE[:TAG] or docker-archive:FILE[:TAG]",
    )
    names, optional = ", ".join(OPERATIONS), {}
    if default is not None:
        names, optional = f"{names} (default: {default})", {"nargs": "?", "default": default}
    parser.add_argument("operation", metavar="OPERATION", choices=tuple(OPERATIONS), help=names, **optional)
    _configure_names(parser)
    run = run_options.configure(
        parser, networks="metadata always has none; ", timeouts="60 for metadata, else 3600"
    )
    run.add_argument(
        "--keep-limit",
        metavar="SIZE",
        type=run_options.size,
        default=KEEP_LIMIT,
        help="configure, setup, provision: the most that $OUT_CONFIG or $OUTPUTS holds, such as 4g (default: 1g)",
    )
    run.add_argument(
        "--env-stream",
        choices=ENV_STREAMS,
        type=checked(Options.CHECKS["env_stream"]),
        default="stdout",
        help="setup: the stream on which the image writes its environment (default: stdout)",
    )


def _configure_names(parser: Parser) -> None:
    parser.add_argument(
        "--cloud",
        metavar="NAME",
        complete="clouds",
        help="backends, provision: the cloud (default: default); an instance remembers its own",
    )
    parser.add_argument(
        "--interaction",
        metavar="ID",
        complete="interactions",
        help="setup and teardown: the interaction (default: default)",
    )
    parser.add_argument(
        "--instance", metavar="ID", complete="instances", help="patterns: the instance (default: default)"
    )
    parser.add_argument(
        "--binding",
        metavar="ID",
        complete="bindings",
        help="bind and unbind: the binding (default: default)",
    )


def configure_exec(parser: Parser) -> None:
    """Add the options of `exec`."""
    configure_common(parser)
    parser.add_argument(
        "--config", metavar="FILE", help="configure: the configuration, JSON or YAML; - is stdin"
    )
    parser.add_argument(
        "--plan",
        metavar="FILE",
        help="provision: the operator's configuration of the plan, JSON or YAML; - is stdin",
    )
    parser.add_argument(
        "--inputs",
        metavar="FILE",
        help="provision: the user's parameters, JSON or YAML, merged over the plan; - is stdin",
    )
    parser.add_argument(
        "--no-backend", action="store_true", help="provision: no cloud, for a pattern that needs none"
    )
    parser.add_argument(
        "--keep-backend",
        action="store_true",
        help="patterns: leave the interaction with the backend set up, for a look",
    )
    parser.add_argument(
        "--keep",
        metavar="DIR",
        type=checked(Options.CHECKS["keep"]),
        help="leave a copy of what the operation wrote in a new or empty directory, also where it fails: the files "
        "that it changed, $HOME, $OUT_CONFIG, $OUTPUTS, $CREDSTORE, config.json; secrets are among it",
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="setup: again, where the interaction is still set up; "
        "what the earlier setup made in the backend stays there. "
        "configure: give the cloud over to this image, where another one configured it. "
        "bind, unbind, deprovision: give the instance over to this version of its image",
    )
    parser.add_argument(
        "--format",
        choices=environment_output.FORMATS,
        help="metadata, setup, bind: how the result is printed, metadata as yaml or json; "
        f"{environment_output.FORMATS_HELP}",
    )
    environment_output.configure_allow(
        parser, "setup, bind: ", "; patterns: let the backend's setup set it for the pattern"
    )


def configure_spec(parser: Parser) -> None:
    """Add the options of `spec`."""
    configure_common(parser)


def backend_of(arguments: Arguments, context: Context, console: Console | None = None) -> "Backend":
    """Return the backend that the arguments name. console: of its runs; by default the command's own streams."""
    from tweed_shim.tweed.backend import Backend

    return Backend(
        context.settings,
        arguments.image,
        operation_inputs.name(arguments.cloud),
        options=operation_inputs.options(arguments),
        console=console or run_options.console(context),
    )


def check_options(arguments: Arguments) -> None:
    """Check that the options go with the operation. Raises UsageError, and ConfigError for an unknown operation."""
    operation = find_operation(arguments.operation).name
    for name, operations in GOES_WITH.items():
        value = getattr(arguments, name, None)
        if value not in (None, False, []) and operation not in operations:
            option = f"--{name.replace('_', '-')}"
            hint = "; an instance remembers its cloud" if name == "cloud" else ""
            raise UsageError(
                f"{option} does not go with {operation}; it goes with {_listed(operations)}{hint}"
            )
    kind = getattr(arguments, "format", None)
    if kind is not None and kind not in FORMATS[operation]:
        raise UsageError(
            f"--format {kind} does not go with {operation}: {operation} can print {', '.join(FORMATS[operation])}"
        )
    environment_output.check_format(kind)


def _listed(names: tuple[str, ...]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def exec_command(arguments: Arguments, context: Context) -> int:
    """Run an operation and print its result."""
    check_options(arguments)
    if OPERATIONS[arguments.operation].contract == PATTERN:
        from tweed_shim.cli import pattern_operations

        return pattern_operations.run(arguments, context)
    backend = backend_of(arguments, context)
    interaction = operation_inputs.name(arguments.interaction)
    if arguments.operation == "metadata":
        from tweed_shim.tweed import metadata

        environment_output.write(metadata.render(backend.metadata(), arguments.format or "yaml"))
    elif arguments.operation == "configure":
        backend.configure(_read_configuration(arguments.config), replace=arguments.replace)
    elif arguments.operation == "check":
        backend.check()
    elif arguments.operation == "setup":
        _set_up(backend, interaction, arguments)
    else:
        backend.teardown(interaction)
    return 0


def _set_up(backend: "Backend", interaction: str, arguments: Arguments) -> None:
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


def spec_command(arguments: Arguments, context: Context) -> int:
    """Print the config.json that an operation would run with."""
    import json

    check_options(arguments)
    if OPERATIONS[arguments.operation].contract == PATTERN:
        from tweed_shim.cli import pattern_operations

        spec = pattern_operations.spec(arguments, context)
    else:
        spec = backend_of(arguments, context).spec(
            arguments.operation, operation_inputs.name(arguments.interaction)
        )
    environment_output.write(json.dumps(spec, indent=2) + "\n")
    return 0


def _read_configuration(path: str | None) -> dict[str, Any]:
    from tweed_shim.tweed import configuration

    if path is None and os.isatty(0):
        raise ConfigError("configure needs a configuration: name a file with --config, or give it on stdin")
    data, name = operation_inputs.read_document("--config", path or "-", what="the configuration")
    return configuration.read(data, name=name)
