"""Prepare an action: find its executor, and make the configuration, the parameters and the credentials for it."""

from collections.abc import Callable, Mapping
from typing import Any

from tweed_shim import spiff
from tweed_shim.base.records import EMPTY, Record
from tweed_shim.data.schema_worker import SchemaWorker
from tweed_shim.errors import ConfigError
from tweed_shim.host.worker_process import WorkerProcess
from tweed_shim.ocm.component_descriptor import Identity
from tweed_shim.ocm.credential_lookup import ConfiguredCredentials
from tweed_shim.ocm.repository import ComponentVersion
from tweed_shim.ocm.session import Session
from tweed_shim.spiff import SpiffError
from tweed_shim.toi import (
    credential_functions,
    credential_requests,
    credentials_file,
    executor_credentials,
    executor_lookup,
    package_resources,
    parameters,
)
from tweed_shim.toi.common_fields import Image, ResourceReference, Templating
from tweed_shim.toi.credentials_file import CredentialsFile
from tweed_shim.toi.executor_lookup import Execution
from tweed_shim.toi.package import Package
from tweed_shim.toi.parameters import Document
from tweed_shim.toi.templates import Mode, Templates


class BootstrapRequest(Record):
    """The arguments and options of one `toi bootstrap`.

    package: attributes of the package's identity. parameters, credentials: each a text, and its name in messages. mode:
    what templates may reach, see `templates.Templates`. log_level: of the executor.
    """

    HIDDEN = ("parameters", "credentials")

    action: str
    package: Identity = EMPTY
    parameters: tuple[str, str] | None = None
    credentials: tuple[str, str] | None = None
    mode: Mode = "private"
    copy_resources: bool = False
    log_level: str = "Warn"


class Prepared(Record):
    """An action that is ready to run.

    package: its name in messages. config, parameters, executor_parameters: plain data, None where there is none; of the
    two last, the one is of the package, the other what its parameter mapping makes of it. credentials: the executor's
    names by the package's.
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


class _Tools(Record):
    """What the steps of a preparation work with."""

    session: Session
    templates: Templates
    schema_worker: SchemaWorker
    warn: Callable[[str], None]


def prepare(
    session: Session,
    version: ComponentVersion,
    request: BootstrapRequest,
    *,
    configured: ConfiguredCredentials,
    schema_worker: SchemaWorker,
    worker: WorkerProcess,
    warn: Callable[[str], None],
) -> Prepared:
    """Find the executor of an action, and make everything that it is given. Nothing is pulled or run.

    configured: the credentials of the OCM configuration. worker: evaluates templates. warn: is called with sentences
    for the user. Raises ComponentError and ContractError for faults of the package, ConfigError for those of parameters
    and credentials, SpiffError for templates, TimedOut where these take too long, and RegistryError.
    """
    tools = _Tools(session, Templates(request.mode, worker), schema_worker, warn)
    package, name = package_resources.find_package(session, version, request.package, warn)
    execution = executor_lookup.find(session, version, package, request.action, name=name, warn=warn)
    _warn(execution, package, name, warn)
    config = _configuration(tools, execution)
    requests = _credential_requests(package, execution, whose=name)
    credentials = executor_credentials.look_up(_credentials_file(tools, request), requests, configured)
    repository = executor_credentials.of_repository(version, session.connection)
    source = parameters.TemplateInput(*(request.parameters or ("", "the parameters")), name)
    package_parameters = _evaluate(tools, source, package.templating, version)
    names = {each: matched.executor_name for each, matched in requests.items()}
    return Prepared(
        version,
        name,
        execution,
        config,
        package_parameters,
        _map_parameters(tools, execution, package_parameters, credentials.values, whose=name),
        {each: to for each, to in names.items() if to in credentials.values},
        executor_credentials.ocm_configuration(credentials, repository, log_level=request.log_level),
        request.copy_resources,
    )


def _warn(execution: Execution, package: Package, name: str, warn: Callable[[str], None]) -> None:
    """Warn of unknown fields, and of an image that is named directly."""
    unknown = (*package.unknown, *execution.details.specification.unknown)
    if unknown:
        warn(f"{name}, or its executor, has fields without a meaning: {', '.join(unknown)}")
    image = execution.details.image
    if isinstance(image, Image):
        whose = name if execution.entry.image else f"{execution.entry}, which {name} uses,"
        warn(f"{whose} names the image {image} directly, which is meant for development only")


def _credential_requests(
    package: Package, execution: Execution, *, whose: str
) -> dict[str, credential_requests.MatchedRequest]:
    executor = execution.details.specification.credentials
    return credential_requests.match(
        package.credentials, executor, execution.entry.credential_mapping, whose=whose
    )


def _configuration(tools: _Tools, execution: Execution) -> Any:
    """Make the configuration of an executor from the `config` of its entry."""
    config, details = execution.entry.config, execution.details
    text = "" if config is None else spiff.dump(config, "json")
    name = "the settings (config) of its executors entry"
    source = parameters.TemplateInput(text, name, str(execution.entry))
    return _evaluate(tools, source, details.specification.templating, details.owner)


def _evaluate(
    tools: _Tools, source: parameters.TemplateInput, templating: Templating, owner: ComponentVersion
) -> Any:
    libraries = [_library(tools.session, owner, each) for each in templating.libraries]
    return parameters.process(
        source, templating, libraries, templates=tools.templates, schema_worker=tools.schema_worker
    )


def _library(session: Session, owner: ComponentVersion, reference: ResourceReference) -> Document:
    name = f"the library {reference}"
    holder, resource = package_resources.resolve_reference(session, owner, reference)
    data = package_resources.read_content(session, holder, resource)
    try:
        return Document(data.decode(), name)
    except UnicodeDecodeError:
        raise ConfigError(f"{name} of {owner} is not text in UTF-8: ask its author to convert it") from None


def _credentials_file(tools: _Tools, request: BootstrapRequest) -> CredentialsFile | None:
    if request.credentials is None:
        return None
    text, name = request.credentials
    file = credentials_file.read(text, name=name, templates=tools.templates)
    if file.unknown:
        tools.warn(f"{name} has fields without a meaning: {', '.join(file.unknown)}")
    return file


def _map_parameters(
    tools: _Tools,
    execution: Execution,
    package_parameters: Any,
    credentials: credential_functions.Values,
    *,
    whose: str,
) -> Any:
    """Make the executor's parameters from the package's, by the mapping of its entry, if it has one."""
    mapping = execution.entry.parameter_mapping
    if mapping is None:
        return package_parameters

    def evaluate(values: credential_functions.Values) -> Any:
        functions = credential_functions.functions(values)
        return parameters.map_parameters(
            mapping, package_parameters, functions, whose=whose, templates=tools.templates
        )

    try:
        return evaluate(credentials)
    except SpiffError:
        # The error may quote values of credentials. With masked ones, the same fault mostly raises an error without.
        evaluate(credential_functions.masked(credentials))
        raise ConfigError(
            f"the parameter mapping of {whose} cannot be resolved with the values of the credentials: compare how it "
            "uses them with the credentials file"
        ) from None
