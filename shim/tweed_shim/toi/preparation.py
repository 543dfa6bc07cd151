"""All that comes before an executor runs: package, executor, configuration, parameters and credentials."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tweed_shim import spiff
from tweed_shim.base.records import EMPTY, Record
from tweed_shim.data.schema_worker import SchemaWorker
from tweed_shim.errors import ConfigError
from tweed_shim.host.worker_process import WorkerProcess
from tweed_shim.ocm.credentials import Credentials
from tweed_shim.ocm.descriptor import Identity
from tweed_shim.ocm.repository import ComponentVersion
from tweed_shim.ocm.session import Session
from tweed_shim.spiff import SpiffError
from tweed_shim.toi import (
    credential_functions,
    credential_requests,
    credentials_file,
    executor_lookup,
    package_resources,
    parameters,
)
from tweed_shim.toi.common_fields import Image, ResourceReference, Templating
from tweed_shim.toi.executor_lookup import Execution
from tweed_shim.toi.parameters import Document
from tweed_shim.toi.templates import Mode, Templates


class Wishes(Record):
    """What a user wants of a package.

    pattern: of the package's identity. parameters, credentials: texts of files, by the names that messages call them.
    mode: what templates may reach, see `templates.Templates`. log_level: what executors are told to log.
    """

    HIDDEN = ("parameters", "credentials")

    action: str
    pattern: Identity = EMPTY
    parameters: tuple[str, str] | None = None
    credentials: tuple[str, str] | None = None
    mode: Mode = "private"
    copy_resources: bool = False
    log_level: str = "Warn"


class Prepared(Record):
    """An action that can be carried out.

    package: what messages call it. config, parameters, executor_parameters: plain data, None where there is none;
    the parameters of the package, and what its mapping makes of them. credentials: the executor's names by the
    package's.
    """

    HIDDEN = ("executor_parameters", "ocm_config")

    version: ComponentVersion
    package: str
    execution: Execution
    config: Any
    parameters: Any
    executor_parameters: Any
    credentials: Mapping[str, str]
    ocm_config: bytes
    copy_resources: bool


def prepare(
    session: Session,
    source: Credentials,
    version: ComponentVersion,
    wishes: Wishes,
    examiner: SchemaWorker,
    warn: Callable[[str], None],
    *,
    worker: WorkerProcess,
) -> Prepared:
    """Find out all that an executor is to be given.

    warn: is called with what the user should know. worker: evaluates templates. Raises ComponentError and ContractError
    for what is wrong with the package, ConfigError for parameters and credentials, SpiffError for templates, TimedOut
    where these take too long, and RegistryError.
    """
    templates = Templates(wishes.mode, worker)
    package, name = package_resources.find_package(session, version, wishes.pattern, warn)
    found = executor_lookup.determine(session, version, package, wishes.action, name=name, warn=warn)
    _warn(found, (*package.unknown, *found.specification.unknown), name, warn)
    config = _configuration(session, found, templates, examiner)
    requested = credential_requests.requested(
        package.credentials,
        found.specification.credentials,
        found.executor.credential_mapping,
        whose=name,
    )
    provided = credentials_file.provide(_settings(wishes, templates, warn), requested, source)
    own = credentials_file.of_repository(version, session.connection)
    text, given_name = wishes.parameters or ("", "the parameters")
    made = parameters.processed(
        parameters.Given(text, given_name, name),
        package.templating,
        _libraries(session, version, package.templating),
        templates,
        examiner,
    )
    return Prepared(
        version,
        name,
        found,
        config,
        made,
        _mapped(found, made, provided.values, name, templates),
        {each: request.name for each, request in requested.items() if request.name in provided.values},
        credentials_file.ocm_configuration(provided, own, log_level=wishes.log_level),
        wishes.copy_resources,
    )


def _warn(found: Execution, unknown: Sequence[str], name: str, warn: Callable[[str], None]) -> None:
    if unknown:
        warn(f"{name}, or its executor, has fields that mean nothing: {', '.join(unknown)}")
    if isinstance(found.image, Image):
        whose = name if found.executor.image else f"{found.executor}, which {name} uses,"
        warn(f"{whose} names the image {found.image} directly, which is meant for development only")


def _configuration(session: Session, found: Execution, templates: Templates, examiner: SchemaWorker) -> Any:
    given = found.executor.config
    templating = found.specification.templating
    text = "" if given is None else spiff.dump(given, "json")
    return parameters.processed(
        parameters.Given(text, "the settings (config) of its executors entry", str(found.executor)),
        templating,
        _libraries(session, found.owner, templating),
        templates,
        examiner,
    )


def _libraries(session: Session, owner: ComponentVersion, templating: Templating) -> list[Document]:
    return [_library(session, owner, each) for each in templating.libraries]


def _library(session: Session, owner: ComponentVersion, reference: ResourceReference) -> Document:
    name = f"the library {reference}"
    data = package_resources.read(session, *package_resources.referenced(session, owner, reference))
    try:
        return Document(data.decode(), name)
    except UnicodeDecodeError:
        raise ConfigError(f"{name} of {owner} is not text in UTF-8: its author has to mend it") from None


def _settings(
    wishes: Wishes, templates: Templates, warn: Callable[[str], None]
) -> credentials_file.Settings | None:
    if wishes.credentials is None:
        return None
    text, name = wishes.credentials
    settings = credentials_file.read(text, name=name, templates=templates)
    if settings.unknown:
        warn(f"{name} has fields that mean nothing: {', '.join(settings.unknown)}")
    return settings


def _mapped(
    found: Execution, made: Any, values: Mapping[str, Mapping[str, str]], name: str, templates: Templates
) -> Any:
    mapping = found.executor.parameter_mapping
    if mapping is None:
        return made

    def attempt(known: Mapping[str, Mapping[str, str]]) -> Any:
        functions = credential_functions.functions(known)
        return parameters.mapped(mapping, made, functions, whose=name, templates=templates)

    try:
        return attempt(values)
    except SpiffError:
        # What cannot be resolved is explained with values: not with those of the credentials.
        attempt(credential_functions.masked(values))
        raise ConfigError(
            f"the parameter mapping of {name} cannot be resolved with the values of the credentials: compare what it "
            "makes of them"
        ) from None
