"""`shell`: an interactive shell, or a program, in the sandbox of an operation."""

import os

from tweed_shim.base.records import replace
from tweed_shim.cli import operation_inputs, operations, run_options, signals
from tweed_shim.cli.commands import Arguments, Context, Parser
from tweed_shim.tweed.contract import OPERATIONS, PATTERN
from tweed_shim.tweed.shells import TOOLS, Shell

# Every image has it, it needs no cloud and shows no secret, and it is the strictest: it has no network.
DEFAULT = "metadata"


def configure_shell(parser: Parser) -> None:
    """Add the options of `shell`."""
    parser.intermixed = True
    parser.usage = "tweed-shim shell [OPTION...] IMAGE [OPERATION] [-- PROGRAM [ARGUMENT...]]"
    operations.configure_common(parser, default=DEFAULT)
    parser.add_argument(
        "--tools",
        action="store_true",
        help=f"show the host's static busybox in {TOOLS}, at the end of $PATH, for an image without a shell",
    )


def shell_command(arguments: Arguments, context: Context) -> int:
    """Run a shell, and return its exit code."""
    operations.check_options(arguments)
    terminal, variables = None, {}
    if os.isatty(0) and os.isatty(1):
        from tweed_shim.runtime import session

        terminal, variables = session.size(0), {"TERM": os.environ.get("TERM", "dumb")}
    console = replace(run_options.console(context), stdin=0, catching=signals.passed_on_with_resizing)
    shell = Shell(arguments.program, arguments.tools, terminal, variables)
    if OPERATIONS[arguments.operation].contract == PATTERN:
        from tweed_shim.cli import pattern_operations

        return pattern_operations.shell(arguments, context, shell, console)
    backend = operations.backend_of(arguments, context, console)
    return backend.shell(arguments.operation, shell, operation_inputs.name(arguments.interaction))
