"""Look up the credentials that an executor asks for, and write the OCM configuration that hands them over.

Source: `ocm toi-bootstrapping`, "Credentials". Values never appear in a message.
"""

from collections.abc import Mapping, Sequence

from tweed_shim.base.option_names import option
from tweed_shim.base.records import EMPTY, Record
from tweed_shim.errors import ConfigError
from tweed_shim.http import hosts
from tweed_shim.image import stored_credentials
from tweed_shim.ocm import consumer_identity, credential_lookup, ocmconfig, yaml_writer
from tweed_shim.ocm.component_descriptor import Identity
from tweed_shim.ocm.credential_lookup import ConfiguredCredentials, Properties
from tweed_shim.ocm.oci_repository import OciRepository
from tweed_shim.ocm.ocmconfig import Entry
from tweed_shim.ocm.registry_store import ConnectionSettings, RegistryStore
from tweed_shim.ocm.repository import ComponentVersion
from tweed_shim.toi.credential_requests import MatchedRequest
from tweed_shim.toi.credentials_file import CredentialsFile, CredentialSource

REPOSITORY = "default"
LOGGING = f"logging{ocmconfig.SUFFIX}"


class ExecutorCredentials(Record):
    """What an executor gets: credentials by its own names for them, and the entry that each consumer uses."""

    HIDDEN = ("consumers",)

    values: Mapping[str, Properties] = EMPTY
    consumers: Sequence[tuple[Identity, Entry]] = ()


def look_up(
    file: CredentialsFile | None, requests: Mapping[str, MatchedRequest], configured: ConfiguredCredentials
) -> ExecutorCredentials:
    """Return the credentials for an executor, from the user's file and the OCM configuration.

    file: None where the user has given none. Raises ConfigError where credentials are missing.
    """
    sources = file.credentials if file else {}
    _refuse_missing(file, requests)
    values: dict[str, Properties] = {}
    by_consumer: list[tuple[Identity, Entry]] = []
    for name in sorted(each for each in requests if each in sources):
        source, matched = sources[name], requests[name]
        values[matched.executor_name] = _properties(name, source, configured)
        entry = ocmconfig.memory_credentials(matched.executor_name, repository=REPOSITORY)
        by_consumer += [(each, entry) for each in (source.target, matched.request.consumer_id) if each]
    for forwarded in file.forwarded if file else ():
        what = f"the credentials for {consumer_identity.describe(forwarded.consumer_id)}, which are to be forwarded,"
        properties = _for_consumer(forwarded.consumer_id, forwarded.consumer_type, configured, what)
        by_consumer.append((forwarded.consumer_id, _direct(properties)))
    return ExecutorCredentials(values, by_consumer)


def _refuse_missing(file: CredentialsFile | None, requests: Mapping[str, MatchedRequest]) -> None:
    sources = file.credentials if file else {}
    missing = sorted(
        name for name, each in requests.items() if name not in sources and not each.request.optional
    )
    if missing:
        names = ", ".join(missing)
        raise ConfigError(
            f"credentials are missing: {names}; add them to the credentials file"
            if file
            else f"credentials are needed: {names}; give them with -c, or from Python as `credentials`"
        )


def _properties(name: str, source: CredentialSource, configured: ConfiguredCredentials) -> Properties:
    if source.properties is not None:
        return source.properties
    what = f"the credentials {name!r}"
    if source.reference is not None:
        properties = configured.specified(source.reference, whose=f"the reference of {what}")
        if properties is None:
            raise ConfigError(
                f"{what} refer to credentials of type {ocmconfig.type_of(source.reference) or 'none'}, which are "
                "empty or of a type that tweed-shim does not know; write the properties themselves"
            )
        return properties
    consumer = f"{what}, of {consumer_identity.describe(source.consumer_id)},"
    return _for_consumer(source.consumer_id, source.consumer_type, configured, consumer)


def _for_consumer(consumer: Identity, kind: str, configured: ConfiguredCredentials, what: str) -> Properties:
    properties = configured.for_consumer(consumer, matcher=kind or consumer_identity.PARTIAL)
    if properties is None:
        raise ConfigError(
            f"{what} are not in the OCM configuration: add them, or name another file with {option('--ocmconfig')}"
        )
    return properties


def _direct(properties: Mapping[str, str]) -> Entry:
    # The reference implementation writes this name, which is that of their type.
    return {**ocmconfig.direct_credentials(properties), "credentialsName": "Credentials"}


def of_repository(version: ComponentVersion, connection: ConnectionSettings) -> tuple[Identity, Entry] | None:
    """Return the registry of a component version as a consumer, with the credentials that are used for it, if any."""
    repository = version.repository
    if not isinstance(repository, OciRepository) or not isinstance(repository.store, RegistryStore):
        return None
    registry, path = repository.store.what, repository.sub_path
    consumer = consumer_identity.of_registry(registry, path)
    # Without a port, the registry's is that of https: credentials that are configured for another port do not match.
    properties = connection.find({consumer_identity.PORT: hosts.HTTPS_PORT, **consumer})
    if not properties:
        login = stored_credentials.look_up(registry, path, connection.environ)
        properties = credential_lookup.of_login(login) if login else None
    return (consumer, _direct(properties)) if properties else None


def ocm_configuration(
    credentials: ExecutorCredentials, repository: tuple[Identity, Entry] | None, *, log_level: str
) -> bytes:
    """Return the file /toi/inputs/ocmconfig.

    repository: the registry of the component version with its credentials, see `of_repository`.
    """
    by_consumer = [*credentials.consumers, *([repository] if repository else [])]
    memory = ocmconfig.memory_entry(credentials.values, repository=REPOSITORY)
    users = ocmconfig.consumers_entry(by_consumer)
    logging = {"type": LOGGING, "contextType": "default", "settings": {"defaultLevel": log_level}}
    fields = {
        "type": ocmconfig.GENERIC,
        # The reference implementation leaves out what is empty.
        "configurations": [*({k: v for k, v in each.items() if v} for each in (memory, users)), logging],
    }
    return yaml_writer.dump(fields)
