"""The commands `toi`: run an action of a package, write the files that it offers, describe it."""

import json
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tweed_shim.base import files, trace, trust
from tweed_shim.cli import components, run_options, tables
from tweed_shim.cli.commands import Arguments, Context, Group, Parser, wrong_value
from tweed_shim.data import documents
from tweed_shim.data.schema_worker import SchemaWorker
from tweed_shim.errors import ConfigError, HostError, UsageError

if TYPE_CHECKING:
    from tweed_shim.host.worker_process import WorkerProcess
    from tweed_shim.toi.bootstrap import Result
    from tweed_shim.toi.outputs import Outputs
    from tweed_shim.toi.preparation import BootstrapRequest, Prepared

PARAMETERS = "TOIParameters"
CREDENTIALS = "TOICredentials"
LOG_LEVELS = {-1: "Error", 0: "Warn", 1: "Info"}


def _configure_package(parser: Parser) -> Group:
    group = components.configure(parser)
    components.configure_verbs(group)
    parser.intermixed = True
    parser.add_argument(
        "identity",
        metavar="NAME | KEY=VALUE",
        nargs="*",
        help="the package, by attributes of its identity (default: the first)",
    )
    return group


def configure_toi_bootstrap(parser: Parser) -> None:
    """Add the options of `toi bootstrap`."""
    parser.add_argument("action", metavar="ACTION", help="an action of the package, such as install")
    _configure_package(parser)
    exchange = parser.add_argument_group("input and output of the action")
    _add_input_options(exchange)
    exchange.add_argument(
        "-o", "--outputs", metavar="PATH", help="a file or a directory for the outputs; - is stdout"
    )
    exchange.add_argument(
        "--all-outputs",
        action="store_true",
        help="also keep plain files that the package does not name; a warning names files of other kinds",
    )
    instead = exchange.add_mutually_exclusive_group()
    instead.add_argument("--dry-run", action="store_true", help="show what would be run, and run nothing")
    instead.add_argument(
        "--create-env",
        metavar="DIR",
        help="write the executor's inputs to this new directory, and run nothing",
    )
    run_options.configure(parser, timeouts="3600")


def _add_input_options(group: Group) -> None:
    group.add_argument(
        "-p",
        "--parameters",
        metavar="FILE",
        help=f"the parameters; - is stdin (default: {PARAMETERS}, if it is there)",
    )
    group.add_argument(
        "-c",
        "--credentials",
        metavar="FILE",
        help=f"the credentials; - is stdin (default: {CREDENTIALS}, if it is there)",
    )
    group.add_argument(
        "--trust-templates",
        action="store_true",
        help="let templates read files and the environment, and run commands",
    )
    group.add_argument(
        "--copy-resources",
        action="store_true",
        help="give the executor the content of resources that are elsewhere",
    )


def toi_bootstrap_command(arguments: Arguments, context: Context) -> int:
    """Run an action, and print or write its outputs."""
    if arguments.parameters == arguments.credentials == "-":
        raise UsageError("stdin can be used only once: name a file for the parameters or the credentials")
    with SchemaWorker() as schema_worker:
        # Its imports and ours then take place at the same time. Most packages with parameters have a scheme.
        schema_worker.start()
        with trace.span("imports"):
            from tweed_shim.host.worker_process import WorkerProcess
            from tweed_shim.toi import bootstrap

        with WorkerProcess(seconds=bootstrap.time_limit(arguments.timeout)) as worker:
            return _bootstrap(arguments, context, schema_worker, worker)


def _bootstrap(
    arguments: Arguments, context: Context, schema_worker: SchemaWorker, worker: "WorkerProcess"
) -> int:
    from tweed_shim.runner import Runner, RunOptions
    from tweed_shim.toi import bootstrap, outputs, preparation

    target = None if arguments.outputs == "-" else arguments.outputs
    if target is not None:
        outputs.check_target(target)
    request = _request(arguments)
    session, credentials = components.open_session(arguments, context, worker)
    # Where the outputs are printed to stdout, what the executor prints goes to stderr.
    console = run_options.console(context, stdout=2 if target is None else 1)
    options = RunOptions(**run_options.options(arguments))
    runner = Runner(context.settings, options, console)
    with session:
        with trace.span("open"):
            version = session.certain_version(arguments.component, arguments.repo)
        with trace.span("package"):
            prepared = preparation.prepare(
                session,
                version,
                request,
                configured=credentials,
                schema_worker=schema_worker,
                worker=worker,
                warn=context.messages.warn,
            )
        schema_worker.end()
        worker.end()
        if arguments.create_env is not None:
            bootstrap.create_environment(prepared, session, arguments.create_env, context.messages.info)
            return 0
        if arguments.dry_run:
            _show(prepared, bootstrap.config(runner, session, prepared))
            return 0
        done = bootstrap.run(runner, session, prepared, every_output=arguments.all_outputs)
    _deliver(done, target, context)
    return 0


def _request(arguments: Arguments) -> "BootstrapRequest":
    from tweed_shim.ocm import element_identity
    from tweed_shim.toi.preparation import BootstrapRequest

    return BootstrapRequest(
        arguments.action,
        element_identity.parse(arguments.identity),
        _text(arguments.parameters, PARAMETERS, "the parameters"),
        _text(arguments.credentials, CREDENTIALS, "the credentials"),
        "system" if arguments.trust_templates else "private",
        arguments.copy_resources,
        LOG_LEVELS[arguments.level],
    )


def _deliver(done: "Result", target: str | None, context: Context) -> None:
    """Write the outputs to a path, or print them; then raise the action's failure, or that of the delivery."""
    from tweed_shim.toi import outputs

    fault: HostError | BrokenPipeError | None = None
    try:
        if target is not None:
            outputs.write(done.outputs, target)
        elif done.outputs.values:
            _print(done.outputs)
    except outputs.OutputsUnwritten as unwritten:
        fault = unwritten
        # Print them: they are kept nowhere else.
        with suppress(HostError, BrokenPipeError):
            _print(unwritten.outputs)
    except (HostError, BrokenPipeError) as error:
        fault = error
    if done.failure is not None:
        if fault is not None:
            context.messages.warn(f"outputs are lost: {fault}")
        raise done.failure
    if fault is not None:
        raise fault


def _print(values: "Outputs") -> None:
    from tweed_shim.toi import outputs

    sys.stdout.write(outputs.as_yaml(values))
    sys.stdout.flush()


def _show(prepared: "Prepared", config: dict[str, Any]) -> None:
    from tweed_shim import spiff

    shown = {
        "package": prepared.package,
        "image": str(prepared.execution.details.image),
        "config": prepared.config,
        "parameters": prepared.parameters,
        "credentials": dict(prepared.credentials),
        "config.json": config,
    }
    sys.stdout.write(spiff.dump(shown))


def configure_toi_config(parser: Parser) -> None:
    """Add the options of `toi config`."""
    components.configure_registries(_configure_package(parser))
    for short, option, usual in (("-p", "--parameters", PARAMETERS), ("-c", "--credentials", CREDENTIALS)):
        parser.add_argument(
            short,
            option,
            metavar="FILE",
            type=_new_file,
            default=usual,
            help=f"for the {option.removeprefix('--')} (default: {usual})",
        )
    parser.add_argument("-f", "--overwrite", action="store_true", help="replace existing files")


def _new_file(path: str) -> str:
    if path == "-":
        raise wrong_value("the files cannot be written to stdout, where their paths are printed: name a file")
    return path


def toi_config_command(arguments: Arguments, context: Context) -> int:
    """Write the files that a package offers, and print their paths."""
    from tweed_shim.ocm import element_identity
    from tweed_shim.toi import config_files, package_resources

    with components.open_session(arguments, context)[0] as session:
        version = session.certain_version(arguments.component, arguments.repo)
        toi_package, name = package_resources.find_package(
            session, version, element_identity.parse(arguments.identity), context.messages.warn
        )
        contents = config_files.collect(
            session, version, toi_package, parameters=arguments.parameters, credentials=arguments.credentials
        )
    if not contents:
        context.messages.warn(f"{name} offers no files: nothing is written")
    config_files.write(contents, overwrite=arguments.overwrite)
    sys.stdout.writelines(f"{path}\n" for path in contents)
    return 0


def configure_toi_describe(parser: Parser) -> None:
    """Add the options of `toi describe`."""
    components.configure_registries(_configure_package(parser))
    tables.configure(parser)


def toi_describe_command(arguments: Arguments, context: Context) -> int:
    """Describe a package."""
    from tweed_shim.ocm import element_identity
    from tweed_shim.toi import description, package_resources

    with components.open_session(arguments, context)[0] as session:
        version = session.certain_version(arguments.component, arguments.repo)
        toi_package, name = package_resources.find_package(
            session, version, element_identity.parse(arguments.identity), context.messages.warn
        )
        about = description.describe(session, version, toi_package, name=name, warn=context.messages.warn)
    sys.stdout.write(json.dumps(about, indent=2) + "\n" if arguments.json else description.text(about))
    return 0


def _text(path: str | None, usual: str, what: str) -> tuple[str, str] | None:
    """Return the text of a file, and its name in messages; None where none was named and the usual one is missing."""
    if path is None and not os.path.isfile(usual):
        return None
    name = f"{what} in {path or usual}" if path != "-" else f"{what} on stdin"
    try:
        if path == "-":
            data = files.read_bounded(sys.stdin.buffer, documents.MAX_BYTES, "stdin")
        else:
            with open(path or usual, "rb") as file:
                # Another user may own parameters that were named; what just lies in the working directory must be ours.
                if path is None or usual == CREDENTIALS:
                    trust.check_file(file.fileno(), path or usual, f"the file {path or usual}")
                data = files.read_bounded(file, documents.MAX_BYTES, path or usual)
        return data.decode(), name
    except OSError as error:
        raise ConfigError(f"{name} cannot be read ({error.strerror}): name another file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{name} are not text in UTF-8: name another file") from None
