"""`exec` and `spec` for the operations of pattern images."""

from collections.abc import Callable, Mapping

from tweed_shim.base.lean.typing import TYPE_CHECKING, Any
from tweed_shim.cli import operation_inputs, run_options
from tweed_shim.cli.commands import Arguments, Context
from tweed_shim.cli.credentials_output import show, show_new
from tweed_shim.errors import NotRecorded, RefusedFormat, UsageError
from tweed_shim.runtime.console import Console
from tweed_shim.tweed.pattern import Pattern

if TYPE_CHECKING:
    from tweed_shim.tweed.pattern_inputs import Source
    from tweed_shim.tweed.shells import Shell


def run(arguments: Arguments, context: Context) -> int:
    """Run an operation of a pattern image and print its result."""
    CALLS[arguments.operation](_pattern(arguments, context), arguments)
    return 0


def spec(arguments: Arguments, context: Context) -> dict[str, Any]:
    """Return the config.json that an operation would run with."""
    instance, binding = _names(arguments)
    return _pattern(arguments, context).spec(arguments.operation, instance, binding)


def bundle(arguments: Arguments, context: Context) -> list[str]:
    """Write the bundle of an operation, and return the command that starts it."""
    instance, binding = _names(arguments)
    return _pattern(arguments, context).bundle(arguments.operation, arguments.directory, instance, binding)


def shell(arguments: Arguments, context: Context, shell: "Shell", console: Console) -> int:
    """Run a shell in the sandbox of an operation, and return its exit code."""
    instance, binding = _names(arguments)
    return _pattern(arguments, context, console).shell(arguments.operation, shell, instance, binding)


def _pattern(arguments: Arguments, context: Context, console: Console | None = None) -> Pattern:
    no_backend = getattr(arguments, "no_backend", False)
    if no_backend and arguments.cloud is not None:
        raise UsageError("--cloud and --no-backend do not go together; give one of them")
    return Pattern(
        context.settings,
        arguments.image,
        None if no_backend else operation_inputs.name(arguments.cloud),
        keep_backend=getattr(arguments, "keep_backend", False),
        allow=getattr(arguments, "allow", ()),
        options=operation_inputs.options(arguments),
        console=console or run_options.console(context),
    )


def _names(arguments: Arguments) -> tuple[str, str]:
    return operation_inputs.name(arguments.instance), operation_inputs.name(arguments.binding)


def _provision(pattern: Pattern, arguments: Arguments) -> None:
    if arguments.plan == "-" and arguments.inputs == "-":
        raise UsageError("--plan and --inputs cannot both be stdin; name a file for one of them")
    # No other operation needs it, and its import takes 5 ms.
    from tweed_shim.tweed import pattern_inputs

    plan = _document("--plan", arguments.plan, pattern_inputs.PLAN)
    inputs = _document("--inputs", arguments.inputs, pattern_inputs.INPUTS)
    pattern.provision(_names(arguments)[0], inputs, plan=plan)


def _document(option: str, path: str | None, source: "Source") -> dict[str, Any]:
    from tweed_shim.tweed import pattern_inputs

    if path is None:
        return {}
    data, name = operation_inputs.read_document(option, path, what=source)
    return pattern_inputs.read(data, source, name=name)


def _bind(pattern: Pattern, arguments: Arguments) -> None:
    instance, binding = _names(arguments)
    try:
        credentials = pattern.bind(instance, binding, replace=arguments.replace)
    except NotRecorded as error:
        # The credentials are not on record, so this is the only chance to print them.
        _show_lost(error, arguments)
        raise
    show_new(credentials, instance, binding, arguments)


def _show_lost(error: NotRecorded, arguments: Arguments) -> None:
    try:
        show(error.environment, arguments)
    except RefusedFormat as refused:
        error.args = (f"{error}; its credentials are lost: {refused.fault}",)


def _unbind(pattern: Pattern, arguments: Arguments) -> None:
    pattern.unbind(*_names(arguments), replace=arguments.replace)


def _deprovision(pattern: Pattern, arguments: Arguments) -> None:
    pattern.deprovision(_names(arguments)[0], replace=arguments.replace)


CALLS: Mapping[str, Callable[[Pattern, Arguments], None]] = {
    "provision": _provision,
    "bind": _bind,
    "unbind": _unbind,
    "deprovision": _deprovision,
}
