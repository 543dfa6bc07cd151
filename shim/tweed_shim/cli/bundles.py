"""`bundle`: write an OCI bundle of an operation, which an OCI runtime starts as it is."""

import shlex

from tweed_shim.cli import environment_output, operation_inputs, operations
from tweed_shim.cli.commands import Arguments, Context, Parser
from tweed_shim.tweed.contract import OPERATIONS, PATTERN


def configure_bundle(parser: Parser) -> None:
    """Add the options of `bundle`."""
    operations.configure_common(parser)
    parser.add_argument(
        "directory",
        metavar="DIR",
        help="the bundle, a new or empty directory; it gets a copy of the image's root and of the recorded state, "
        "secrets among it, and the mode 0700",
    )


def bundle_command(arguments: Arguments, context: Context) -> int:
    """Write a bundle, and print the command that starts it."""
    operations.check_options(arguments)
    if OPERATIONS[arguments.operation].contract == PATTERN:
        from tweed_shim.cli import pattern_operations

        command = pattern_operations.bundle(arguments, context)
    else:
        backend = operations.backend_of(arguments, context)
        command = backend.bundle(
            arguments.operation, arguments.directory, operation_inputs.name(arguments.interaction)
        )
    environment_output.write(f"{shlex.join(command)}\n")
    return 0
