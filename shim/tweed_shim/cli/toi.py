"""`toi`: actions of packages are carried out, and packages described."""

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
    from tweed_shim.toi.preparation import Prepared

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
        help="which package, by parts of its identity (default: the first)",
    )
    return group


def configure_toi_bootstrap(parser: Parser) -> None:
    """The options of `toi bootstrap`."""
    parser.add_argument("action", metavar="ACTION", help="what to do, such as install")
    _configure_package(parser)
    given = parser.add_argument_group("what the action is given and gives")
    given.add_argument(
        "-p",
        "--parameters",
        metavar="FILE",
        help=f"the parameters; - is stdin (default: {PARAMETERS}, if it is there)",
    )
    given.add_argument(
        "-c",
        "--credentials",
        metavar="FILE",
        help=f"the credentials; - is stdin (default: {CREDENTIALS}, if it is there)",
    )
    given.add_argument(
        "--trust-templates",
        action="store_true",
        help="let templates read files and the environment, and run commands",
    )
    given.add_argument(
        "--copy-resources",
        action="store_true",
        help="give the executor the content of resources that are elsewhere",
    )
    given.add_argument(
        "-o", "--outputs", metavar="PATH", help="a file or a directory for the outputs; - is stdout"
    )
    given.add_argument(
        "--all-outputs",
        action="store_true",
        help="keep outputs that the package does not name: plain files; what else is there is named in a warning",
    )
    instead = given.add_mutually_exclusive_group()
    instead.add_argument("--dry-run", action="store_true", help="show what would be run, and run nothing")
    instead.add_argument(
        "--create-env", metavar="DIR", help="make what an executor is given there, and run nothing"
    )
    run_options.configure(parser, timeouts="3600")


def toi_bootstrap_command(arguments: Arguments, context: Context) -> int:
    """Carry out an action and print or write its outputs."""
    if arguments.parameters == arguments.credentials == "-":
        raise UsageError("stdin can be used only once: name a file for the parameters or the credentials")
    with SchemaWorker() as examiner:
        # It has much to import; so have we, and whoever gives parameters mostly has a scheme for them.
        examiner.start()
        with trace.span("imports"):
            from tweed_shim.host.worker_process import WorkerProcess
            from tweed_shim.toi import bootstrap

        with WorkerProcess(seconds=bootstrap.time_limit(arguments.timeout)) as worker:
            return _bootstrap(arguments, context, examiner, worker)


def _bootstrap(
    arguments: Arguments, context: Context, examiner: SchemaWorker, worker: "WorkerProcess"
) -> int:
    from tweed_shim.ocm import identity
    from tweed_shim.runner import Runner, RunOptions
    from tweed_shim.toi import bootstrap, outputs, preparation

    place_of_outputs = None if arguments.outputs == "-" else arguments.outputs
    if place_of_outputs is not None:
        outputs.check_place(place_of_outputs)
    wishes = preparation.Wishes(
        arguments.action,
        identity.parse(arguments.identity),
        _text(arguments.parameters, PARAMETERS, "the parameters"),
        _text(arguments.credentials, CREDENTIALS, "the credentials"),
        "system" if arguments.trust_templates else "private",
        arguments.copy_resources,
        LOG_LEVELS[arguments.level],
    )
    session, credentials = components.session(arguments, context, worker)
    # What the executor says goes elsewhere where its outputs are printed.
    console = run_options.console(context, stdout=2 if place_of_outputs is None else 1)
    options = RunOptions(**run_options.options(arguments))
    runner = Runner(context.settings, options, console)
    with session:
        with trace.span("open"):
            version = session.certain_version(arguments.component, arguments.repo)
        with trace.span("package"):
            prepared = preparation.prepare(
                session, credentials, version, wishes, examiner, context.voice.warn, worker=worker
            )
        examiner.end()
        worker.end()
        if arguments.create_env is not None:
            bootstrap.create_environment(prepared, session, arguments.create_env, context.voice.info)
            return 0
        if arguments.dry_run:
            _show(prepared, bootstrap.config(runner, session, prepared))
            return 0
        done = bootstrap.run(runner, session, prepared, every_output=arguments.all_outputs)
    _hand_out(done, place_of_outputs, context)
    return 0


def _hand_out(done: "Result", path: str | None, context: Context) -> None:
    """Write or print the outputs. Raises why the action has failed, or else why they cannot be handed out."""
    from tweed_shim.toi import outputs

    fault: HostError | BrokenPipeError | None = None
    try:
        if path is not None:
            outputs.write(done.outputs, path)
        elif done.outputs.values:
            _print(done.outputs)
    except outputs.Unwritten as unwritten:
        fault = unwritten
        # There is no second chance to have them.
        with suppress(HostError, BrokenPipeError):
            _print(unwritten.outputs)
    except (HostError, BrokenPipeError) as error:
        fault = error
    if done.failure is not None:
        if fault is not None:
            context.voice.warn(f"outputs are lost: {fault}")
        raise done.failure
    if fault is not None:
        raise fault


def _print(found: "Outputs") -> None:
    from tweed_shim.toi import outputs

    sys.stdout.write(outputs.document(found))
    sys.stdout.flush()


def _show(prepared: "Prepared", config: dict[str, Any]) -> None:
    from tweed_shim import spiff

    about = {
        "package": prepared.package,
        "image": str(prepared.execution.image),
        "config": prepared.config,
        "parameters": prepared.parameters,
        "credentials": dict(prepared.credentials),
        "config.json": config,
    }
    sys.stdout.write(spiff.dump(about))


def configure_toi_config(parser: Parser) -> None:
    """The options of `toi config`."""
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
    parser.add_argument("-f", "--overwrite", action="store_true", help="replace files that are there")


def _new_file(path: str) -> str:
    if path == "-":
        raise wrong_value("the files are not written to stdout, which has their names: name a file")
    return path


def toi_config_command(arguments: Arguments, context: Context) -> int:
    """Write the files that a package offers, and name them."""
    from tweed_shim.ocm import identity
    from tweed_shim.toi import config_files, package_resources

    with components.session(arguments, context)[0] as session:
        version = session.certain_version(arguments.component, arguments.repo)
        found, name = package_resources.find_package(
            session, version, identity.parse(arguments.identity), context.voice.warn
        )
        made = config_files.offered(
            session, version, found, parameters=arguments.parameters, credentials=arguments.credentials
        )
    if not made:
        context.voice.warn(f"{name} offers no files")
    config_files.write(made, overwrite=arguments.overwrite)
    sys.stdout.writelines(f"{path}\n" for path in made)
    return 0


def configure_toi_describe(parser: Parser) -> None:
    """The options of `toi describe`."""
    components.configure_registries(_configure_package(parser))
    tables.configure(parser)


def toi_describe_command(arguments: Arguments, context: Context) -> int:
    """Show a package."""
    from tweed_shim.ocm import identity
    from tweed_shim.toi import description, package_resources

    with components.session(arguments, context)[0] as session:
        version = session.certain_version(arguments.component, arguments.repo)
        found, name = package_resources.find_package(
            session, version, identity.parse(arguments.identity), context.voice.warn
        )
        about = description.describe(session, version, found, name=name, warn=context.voice.warn)
    sys.stdout.write(json.dumps(about, indent=2) + "\n" if arguments.json else description.text(about))
    return 0


def _text(path: str | None, usual: str, what: str) -> tuple[str, str] | None:
    """The content of a file, the usual one if it is there where none was named, and what messages call it."""
    if path is None and not os.path.isfile(usual):
        return None
    name = f"{what} in {path or usual}" if path != "-" else f"{what} on stdin"
    try:
        if path == "-":
            data = files.read_bounded(sys.stdin.buffer, documents.MAX_BYTES, "stdin")
        else:
            with open(path or usual, "rb") as file:
                # Parameters that were named may be another's; what merely lies in the working directory may not.
                if path is None or usual == CREDENTIALS:
                    trust.check_file(file.fileno(), path or usual, f"the file {path or usual}")
                data = files.read_bounded(file, documents.MAX_BYTES, path or usual)
        return data.decode(), name
    except OSError as error:
        raise ConfigError(f"{name} cannot be read ({error.strerror}): name another file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{name} are not text in UTF-8: name another file") from None
