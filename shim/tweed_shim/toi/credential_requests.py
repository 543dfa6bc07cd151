"""Match the credentials that a package asks for with those that its executor asks for."""

from collections.abc import Mapping

from tweed_shim.base.records import Record
from tweed_shim.errors import ComponentError
from tweed_shim.toi.common_fields import CredentialRequest

Requests = Mapping[str, CredentialRequest]


class MatchedRequest(Record):
    """Credentials that the user has to provide: the request for them, and the executor's name for them."""

    request: CredentialRequest
    executor_name: str


def match(
    package: Requests, executor: Requests, mapping: Mapping[str, str], *, whose: str
) -> dict[str, MatchedRequest]:
    """Return the credentials that the user has to provide, by the package's names for them.

    mapping: the executor's names by the package's, where they differ. whose: the package in messages. An executor
    without requests gets all that the package asks for; with a mapping, only what is mapped. An executor with requests
    gets those, and the package inherits the ones that it does not ask for itself.

    Raises ComponentError where a request of the executor is not mapped, where the package's request for it differs, and
    where a mapping maps to an empty name, or twice to the same one.
    """
    if not executor:
        names = mapping or {name: name for name in package}
        chosen = {name: names[name] for name in package if name in names}
        for executor_name in chosen.values():
            _source_of(executor_name, chosen, whose)
        return {name: MatchedRequest(package[name], to) for name, to in chosen.items()}
    matched: dict[str, MatchedRequest] = {}
    for executor_name, request in executor.items():
        name = _package_name(executor_name, package, mapping, request, whose=whose)
        if name is None:
            continue
        own = package.get(name)
        if own is not None:
            _check_same(name, own, executor_name, request, whose=whose)
        elif package and request.optional:
            # A package with requests of its own has left out this optional one on purpose.
            continue
        matched[name] = MatchedRequest(own or request, executor_name)
    return matched


def _package_name(
    executor_name: str,
    package: Requests,
    mapping: Mapping[str, str],
    request: CredentialRequest,
    *,
    whose: str,
) -> str | None:
    """Return the package's name for credentials of the executor; None for optional ones that it has no name for."""
    name = _source_of(executor_name, mapping, whose)
    if name is not None:
        return name
    if not mapping or (executor_name in package and executor_name not in mapping):
        return executor_name
    if request.optional:
        return None
    raise ComponentError(
        f"{whose} maps no credentials to {executor_name!r}, which its executor asks for: ask its author to add it to "
        "credentialMapping"
    )


def _source_of(executor_name: str, mapping: Mapping[str, str], whose: str) -> str | None:
    """Return the one name that is mapped to `executor_name`, or None. Raises ComponentError for several."""
    names = [name for name, to in mapping.items() if to == executor_name]
    if names and not executor_name:
        raise ComponentError(
            f"{whose} maps the credentials {names[0]!r} to no name: ask its author to correct credentialMapping"
        )
    if len(names) > 1:
        raise ComponentError(
            f"{whose} maps several credentials ({', '.join(names)}) to {executor_name!r} of its executor: ask "
            "its author to leave one of them"
        )
    return names[0] if names else None


def _check_same(
    name: str, own: CredentialRequest, executor_name: str, request: CredentialRequest, *, whose: str
) -> None:
    """Raise ComponentError where the package's request does not satisfy the executor's."""
    missing = [each for each in request.properties if each not in own.properties]
    problem = ""
    if own.consumer_id != request.consumer_id:
        problem = "the consumer ids differ"
    elif missing:
        problem = f"the package does not declare the properties {', '.join(missing)}"
    elif own.optional and not request.optional:
        problem = "they are optional in the package, and the executor requires them"
    if problem:
        raise ComponentError(
            f"the credentials {name!r} of {whose} are not the {executor_name!r} that its executor asks for: {problem}; "
            "ask the author of the package to correct the request"
        )
