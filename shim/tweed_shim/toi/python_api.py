"""Run an action of a package in one call, for programs; see `tweed_shim.Shim.bootstrap`."""

from collections.abc import Sequence
from typing import Any

from tweed_shim.base.settings import Settings
from tweed_shim.data import documents
from tweed_shim.data.schema_worker import SchemaWorker
from tweed_shim.errors import ConfigError
from tweed_shim.host.worker_process import WorkerProcess
from tweed_shim.ocm import configured_session
from tweed_shim.runner import Runner, RunOptions
from tweed_shim.runtime.console import Console
from tweed_shim.toi import bootstrap, preparation
from tweed_shim.toi.preparation import BootstrapRequest


def text_and_name(value: Any, name: str) -> tuple[str, str] | None:
    """Return data or a text as a field of BootstrapRequest. Raises ConfigError for data that JSON cannot hold."""
    if value is None:
        return None
    return value if isinstance(value, str) else documents.as_json(value, name=name), name


def run_action(
    settings: Settings,
    console: Console,
    options: RunOptions,
    *,
    component: str,
    request: BootstrapRequest,
    repository: str,
    lookups: Sequence[str],
    ocm_config: str | None,
    every_output: bool,
    verbs: Sequence[str] = (),
) -> dict[str, bytes]:
    """Run an action, and return its outputs. The parameters, and what it raises, are those of `Shim.bootstrap`."""
    _check_component(component)
    seconds = bootstrap.time_limit(options.timeout)
    with SchemaWorker() as schema_worker, WorkerProcess(seconds=seconds) as worker:
        session, credentials = configured_session.open_session(
            ocm_config,
            lookups=lookups,
            connect=options.connect,
            info=console.info,
            verbs=verbs,
            worker=worker,
        )
        with session:
            runner = Runner(settings, options, console)
            version = session.certain_version(component, repository)
            prepared = preparation.prepare(
                session,
                version,
                request,
                configured=credentials,
                schema_worker=schema_worker,
                worker=worker,
                warn=console.warn,
            )
            schema_worker.end()
            worker.end()
            done = bootstrap.run(runner, session, prepared, every_output=every_output)
    return _outputs_of(done)


def _check_component(component: object) -> None:
    if not isinstance(component, str):
        # A Path has already made one slash of the two in `REPOSITORY//NAME`, so it cannot be taken apart.
        raise ConfigError(
            f"the component {component!r} is no text: write 'REPOSITORY//NAME:VERSION', or name a repository"
        )


def _outputs_of(result: bootstrap.Result) -> dict[str, bytes]:
    """Return the outputs, or raise the failure of the action with the outputs in it."""
    outputs = dict(result.outputs.values)
    if result.failure is not None:
        result.failure.outputs = outputs
        raise result.failure
    return outputs
