"""An action of a package in one call, for programs; see `tweed_shim.Shim.bootstrap`."""

from collections.abc import Mapping, Sequence
from typing import Any

from tweed_shim import documents
from tweed_shim.ocm import configured
from tweed_shim.records import EMPTY, Record
from tweed_shim.runtime.container import Console
from tweed_shim.schemas import Examiner
from tweed_shim.settings import Settings
from tweed_shim.toi import bootstrap, preparation
from tweed_shim.toi.bootstrap import Options


class Order(Record):
    """What is asked of a package; see `tweed_shim.Shim.bootstrap`."""

    HIDDEN = ("parameters", "credentials")

    action: str
    component: str
    package: Mapping[str, str] = EMPTY
    parameters: Any = None
    credentials: Any = None
    repository: str = ""
    lookups: Sequence[str] = ()
    ocm_config: str | None = None
    options: Options = Options()
    trust_templates: bool = False
    copy_resources: bool = False
    every_output: bool = False


def install(settings: Settings, console: Console, order: Order) -> dict[str, bytes]:
    """Carry the action out and return its outputs. Raises what `tweed_shim.Shim.bootstrap` does."""
    options = order.options
    session, credentials = configured.session(
        order.ocm_config,
        lookups=order.lookups,
        insecure=options.insecure,
        ca_file=options.ca_file,
        info=console.info,
    )
    wishes = preparation.Wishes(
        order.action,
        order.package,
        _document(order.parameters, "the parameters"),
        _document(order.credentials, "the credentials"),
        "system" if order.trust_templates else "private",
        order.copy_resources,
    )
    with Examiner() as examiner, session:
        place = bootstrap.at(settings, session, options, console)
        version = session.certain_version(order.component, order.repository)
        prepared = preparation.prepare(session, credentials, version, wishes, examiner, console.warn)
        examiner.end()
        done = bootstrap.run(place, prepared, every_output=order.every_output)
    outputs = dict(done.outputs.values)
    if done.failure is not None:
        done.failure.outputs = outputs
        raise done.failure
    return outputs


def _document(value: Any, name: str) -> tuple[str, str] | None:
    if value is None:
        return None
    return value if isinstance(value, str) else documents.as_json(value, name=name), name
