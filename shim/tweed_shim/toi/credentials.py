"""The credentials file of a user, and the OCM configuration that an executor gets for it.

Source: `ocm bootstrap package` and `ocm toi-bootstrapping`, "Credentials". Values are never shown, nor are they part
of any message.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tweed_shim import documents, hosts
from tweed_shim.errors import ConfigError
from tweed_shim.image import credentials as logins
from tweed_shim.ocm import configuration, consumers, yaml_writer
from tweed_shim.ocm import credentials as known
from tweed_shim.ocm.configuration import Entry
from tweed_shim.ocm.credentials import Credentials, Properties
from tweed_shim.ocm.descriptor import Identity
from tweed_shim.ocm.mapping import OciRepository
from tweed_shim.ocm.registries import Connection, RegistryStore
from tweed_shim.ocm.repository import ComponentVersion
from tweed_shim.option_names import option
from tweed_shim.records import EMPTY, Record
from tweed_shim.spiff import SpiffError, reading
from tweed_shim.spiff.merging import Document
from tweed_shim.spiff.values import float_text
from tweed_shim.toi.credential_requests import Requested
from tweed_shim.toi.reading import Part, Specification
from tweed_shim.toi.templates import Templates

REPOSITORY = "default"
LOGGING = f"logging{configuration.SUFFIX}"


class Setting(Record):
    """How requested credentials are had: exactly one of consumer_id, reference and properties is there.

    consumer_type: whose rules find what is configured for a consumer. target: a consumer that gets them too.
    """

    HIDDEN = ("reference",)

    consumer_id: Identity = EMPTY
    consumer_type: str = ""
    reference: Entry | None = None
    properties: Properties | None = None
    target: Identity = EMPTY


class Forwarded(Record):
    """A consumer whose configured credentials are passed on."""

    consumer_id: Identity
    consumer_type: str = ""


class Settings(Record):
    """A credentials file. unknown: names of fields that mean nothing here."""

    credentials: Mapping[str, Setting] = EMPTY
    forwarded: tuple[Forwarded, ...] = ()
    unknown: tuple[str, ...] = ()


class Provided(Record):
    """What an executor gets: credentials by its names for them, and what each consumer uses."""

    HIDDEN = ("consumers",)

    values: Mapping[str, Properties] = EMPTY
    consumers: Sequence[tuple[Identity, Entry]] = ()


def read(text: str, *, name: str, templates: Templates) -> Settings:
    """Read a credentials file, a spiff template without stubs.

    Raises ConfigError, which quotes no value of it, and TimedOut where the template takes too long.
    """
    specification = Specification(_processed(text, name, templates), name, ConfigError, origin=text)
    fields = specification.root.fields("credentials", "forwardedConsumers")
    entries = fields["credentials"].entries(empty=True) if "credentials" in fields else {}
    forwarded = fields["forwardedConsumers"].items() if "forwardedConsumers" in fields else ()
    found = {key: _setting(each) for key, each in entries.items()}
    passed_on = tuple(_forwarded(each) for each in forwarded)
    return Settings(found, passed_on, specification.finish("credentials file"))


def _processed(text: str, name: str, templates: Templates) -> bytes:
    from tweed_shim import spiff
    from tweed_shim.spiff.recursion import deep

    try:
        found = [value for value, is_lasting in templates.merge(Document(text, name)) if is_lasting]
        if len(found) > 1:
            raise ConfigError(f"{name} holds {len(found)} documents: leave one")
        value = found[0] if found else None
        with deep(name):
            return spiff.dump({} if value is None else _finite(value), "json").encode()
    except SpiffError as error:
        raise ConfigError(_unresolved(error, name) if error.nodes else _unreadable(text, name)) from None


def _finite(value: Any) -> Any:
    """What is infinite, or no number, as the text that the reference makes of it; JSON has no word for it."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return float_text(value) if isinstance(value, float) and not math.isfinite(value) else value


def _unresolved(error: SpiffError, name: str) -> str:
    from tweed_shim.spiff.functions import permission

    # The reasons are not told: they may quote values. This one does not.
    denied = [each for each in error.nodes if permission.DENIED in each.reason]
    nodes = ", ".join(dict.fromkeys(".".join(each.path) for each in denied or error.nodes))
    if denied:
        return (
            f"{name} has expressions that reach for files, commands or the environment, at {nodes}: write what they "
            f"stand for, or allow them with {option('--trust-templates')}"
        )
    return f"{name} has expressions that cannot be resolved, at {nodes}: correct them"


def _unreadable(text: str, name: str) -> str:
    """Why a text cannot be processed. Of what spiff says only that is told which quotes no value."""
    try:
        documents.load(text, name=name, error=ConfigError)
        reading.read(text, name)
    except ConfigError as fault:
        return str(fault)
    except reading.ReadFault as fault:
        return f"{name}, {fault}"
    return f"{name} cannot be processed: it is too large, or nested too deep"


def _setting(part: Part) -> Setting:
    fields = part.fields("consumerId", "consumerType", "reference", "credentials", "targetConsumerId")
    ways = [
        name for name in ("consumerId", "reference", "credentials") if name in fields and fields[name].value
    ]
    if len(ways) != 1:
        part.fault("must have exactly one of consumerId, reference and credentials")
    reference = fields["reference"].entries() if "reference" in fields else None
    return Setting(
        fields["consumerId"].texts(empty=True) if "consumerId" in fields else {},
        fields["consumerType"].text() if "consumerType" in fields else "",
        reference and {key: each.value for key, each in reference.items()},
        Properties(fields["credentials"].texts(empty=True)) if "credentials" in ways else None,
        fields["targetConsumerId"].texts(empty=True) if "targetConsumerId" in fields else {},
    )


def _forwarded(part: Part) -> Forwarded:
    fields = part.fields("consumerId", "consumerType")
    if "consumerId" not in fields or not fields["consumerId"].value:
        part.fault("is required", "consumerId")
        return Forwarded({})
    return Forwarded(
        fields["consumerId"].texts(empty=True),
        fields["consumerType"].text() if "consumerType" in fields else "",
    )


def provide(settings: Settings | None, requested: Mapping[str, Requested], source: Credentials) -> Provided:
    """What the executor gets of what the file and the OCM configuration have.

    settings: None where there is no file. Raises ConfigError where credentials are missing.
    """
    given = settings or Settings()
    _refuse_missing(settings, requested)
    values: dict[str, Properties] = {}
    told: list[tuple[Identity, Entry]] = []
    for name in sorted(each for each in requested if each in given.credentials):
        setting, wanted = given.credentials[name], requested[name]
        values[wanted.name] = _properties(name, setting, source)
        used = configuration.in_memory(wanted.name, repository=REPOSITORY)
        told += [(each, used) for each in (setting.target, wanted.request.consumer_id) if each]
    for passed_on in given.forwarded:
        what = f"the credentials for {consumers.show(passed_on.consumer_id)}, which are to be forwarded,"
        found = _for_consumer(passed_on.consumer_id, passed_on.consumer_type, source, what)
        told.append((passed_on.consumer_id, _direct(found)))
    return Provided(values, told)


def _refuse_missing(settings: Settings | None, requested: Mapping[str, Requested]) -> None:
    given = settings.credentials if settings else {}
    missing = sorted(
        name for name, each in requested.items() if name not in given and not each.request.optional
    )
    if missing:
        listed = ", ".join(missing)
        raise ConfigError(
            f"credentials are missing: {listed}; add them to the credentials file"
            if settings
            else f"credentials are needed: {listed}; give them with -c, or from Python as `credentials`"
        )


def _properties(name: str, setting: Setting, source: Credentials) -> Properties:
    if setting.properties is not None:
        return setting.properties
    what = f"the credentials {name!r}"
    if setting.reference is not None:
        found = source.specified(setting.reference, whose=f"the reference of {what}")
        if found is None:
            raise ConfigError(
                f"{what} refer to credentials of type {configuration.type_of(setting.reference) or 'none'}, "
                "which cannot be asked for here or have nothing"
            )
        return found
    return _for_consumer(
        setting.consumer_id,
        setting.consumer_type,
        source,
        f"{what}, of {consumers.show(setting.consumer_id)},",
    )


def _for_consumer(consumer: Identity, kind: str, source: Credentials, what: str) -> Properties:
    found = source.for_consumer(consumer, matcher=kind or consumers.PARTIAL)
    if found is None:
        raise ConfigError(
            f"{what} are not in the OCM configuration: add them, or name another file with {option('--ocmconfig')}"
        )
    return found


def _direct(properties: Mapping[str, str]) -> Entry:
    # The reference names them like their type.
    return {**configuration.direct(properties), "credentialsName": "Credentials"}


def of_repository(version: ComponentVersion, connection: Connection) -> tuple[Identity, Entry] | None:
    """The registry that a component version is in, as a consumer, and the credentials that are used for it, if any."""
    repository = version.repository
    if not isinstance(repository, OciRepository) or not isinstance(repository.store, RegistryStore):
        return None
    registry, path = repository.store.what, repository.sub_path
    consumer = consumers.of_registry(registry, path)
    # Without a port it is that of https, and credentials for another are not meant.
    properties = connection.find({consumers.PORT: hosts.HTTPS_PORT, **consumer})
    if not properties:
        login = logins.look_up(registry, path, connection.environ)
        properties = known.of_login(login) if login else None
    return (consumer, _direct(properties)) if properties else None


def ocm_configuration(provided: Provided, own: tuple[Identity, Entry] | None, *, log_level: str) -> bytes:
    """The file /toi/inputs/ocmconfig. own: what the repository of the component version is accessed with."""
    told = [*provided.consumers, *([own] if own else [])]
    memory = configuration.memory_entry(provided.values, repository=REPOSITORY)
    users = configuration.consumers_entry(told)
    logging = {"type": LOGGING, "contextType": "default", "settings": {"defaultLevel": log_level}}
    fields = {
        "type": configuration.GENERIC,
        # The reference leaves out what is empty.
        "configurations": [*({k: v for k, v in each.items() if v} for each in (memory, users)), logging],
    }
    return yaml_writer.dump(fields)
