"""Which credentials an executor gets: what the package asks for, held against what the executor asks for."""

from collections.abc import Mapping

from tweed_shim.base.records import Record
from tweed_shim.errors import ComponentError
from tweed_shim.toi.common_fields import CredentialRequest

Requests = Mapping[str, CredentialRequest]


class Requested(Record):
    """Credentials that are to be provided: the request for them, and what the executor knows them by."""

    request: CredentialRequest
    name: str


def requested(
    package: Requests, executor: Requests, mapping: Mapping[str, str], *, whose: str
) -> dict[str, Requested]:
    """What the user has to provide, by the names of the package.

    mapping: names of the executor by names of the package, for those that differ. An executor that asks for nothing
    gets all that the package asks for, or what is mapped where a mapping is there; otherwise it gets what it asks
    for, and what the package does not ask for itself is inherited. Raises ComponentError where a request of the
    executor is not mapped, or the package's request for it is another one, or names of a mapping are none or the same.
    """
    if not executor:
        names = mapping or {name: name for name in package}
        chosen = {name: names[name] for name in package if name in names}
        for to in chosen.values():
            _mapped_to(to, chosen, whose)
        return {name: Requested(package[name], to) for name, to in chosen.items()}
    found: dict[str, Requested] = {}
    for wanted, request in executor.items():
        name = _name_for(wanted, package, mapping, request, whose)
        if name is None:
            continue
        own = package.get(name)
        if own is not None:
            _match(name, own, wanted, request, whose)
        elif package and request.optional:
            # A package with requests of its own has left this one out.
            continue
        found[name] = Requested(own or request, wanted)
    return found


def _name_for(
    wanted: str, package: Requests, mapping: Mapping[str, str], request: CredentialRequest, whose: str
) -> str | None:
    """What the package calls credentials of the executor; None for optional ones that it has no name for."""
    name = _mapped_to(wanted, mapping, whose)
    if name is not None:
        return name
    if not mapping or (wanted in package and wanted not in mapping):
        return wanted
    if request.optional:
        return None
    raise ComponentError(
        f"{whose} maps no credentials to {wanted!r}, which its executor asks for: its author has to add it to "
        "credentialMapping"
    )


def _mapped_to(wanted: str, mapping: Mapping[str, str], whose: str) -> str | None:
    """The only name that is mapped to another one, None where there is none."""
    names = [name for name, to in mapping.items() if to == wanted]
    if names and not wanted:
        raise ComponentError(
            f"{whose} maps the credentials {names[0]!r} to no name: its author has to mend credentialMapping"
        )
    if len(names) > 1:
        raise ComponentError(
            f"{whose} maps several credentials ({', '.join(names)}) to {wanted!r} of its executor: leave one of them"
        )
    return names[0] if names else None


def _match(name: str, own: CredentialRequest, wanted: str, request: CredentialRequest, whose: str) -> None:
    missing = [each for each in request.properties if each not in own.properties]
    problem = ""
    if own.consumer_id != request.consumer_id:
        problem = "the consumer ids differ"
    elif missing:
        problem = f"the package does not declare the properties {', '.join(missing)}"
    elif own.optional and not request.optional:
        problem = "the package has them optional, and the executor needs them"
    if problem:
        raise ComponentError(
            f"the credentials {name!r} of {whose} are not the {wanted!r} that its executor asks for: {problem}"
        )
