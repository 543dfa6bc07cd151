"""An action of a package in one call, for programs; see `tweed_shim.Shim.bootstrap`."""

from collections.abc import Sequence
from typing import Any

from tweed_shim.base.settings import Settings
from tweed_shim.data import documents
from tweed_shim.data.schema_worker import SchemaWorker
from tweed_shim.errors import ConfigError
from tweed_shim.host.worker_process import WorkerProcess
from tweed_shim.ocm import configured
from tweed_shim.runner import Runner, RunOptions
from tweed_shim.runtime.console import Console
from tweed_shim.toi import bootstrap, preparation
from tweed_shim.toi.preparation import Wishes


def document(value: Any, name: str) -> tuple[str, str] | None:
    """Data or a text, as a field of `Wishes` has it. Raises ConfigError for data that JSON has no form for."""
    if value is None:
        return None
    return value if isinstance(value, str) else documents.as_json(value, name=name), name


def install(
    settings: Settings,
    console: Console,
    options: RunOptions,
    component: str,
    wishes: Wishes,
    *,
    repository: str,
    lookups: Sequence[str],
    ocm_config: str | None,
    every_output: bool,
    verbs: Sequence[str] = (),
) -> dict[str, bytes]:
    """Carry the action out and return its outputs. Raises what `tweed_shim.Shim.bootstrap` does."""
    if not isinstance(component, str):
        # A path knows no `//`: what it was made of cannot be told any more.
        raise ConfigError(
            f"the component {component!r} is no text: write 'REPOSITORY//NAME:VERSION', or name a repository"
        )
    with SchemaWorker() as examiner, WorkerProcess(seconds=bootstrap.time_limit(options.timeout)) as worker:
        session, credentials = configured.session(
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
                session, credentials, version, wishes, examiner, console.warn, worker=worker
            )
            examiner.end()
            worker.end()
            done = bootstrap.run(runner, session, prepared, every_output=every_output)
    outputs = dict(done.outputs.values)
    if done.failure is not None:
        done.failure.outputs = outputs
        raise done.failure
    return outputs
