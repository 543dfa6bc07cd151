"""What a package can do and what it wants, as plain data and as text."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tweed_shim.base.text import visible
from tweed_shim.errors import ShimError
from tweed_shim.ocm.repository import ComponentVersion
from tweed_shim.ocm.session import Session
from tweed_shim.toi import executor_lookup
from tweed_shim.toi.common_fields import CredentialRequest
from tweed_shim.toi.package import Executor, Package

ALL = "*"


def describe(
    session: Session, version: ComponentVersion, found: Package, *, name: str, warn: Callable[[str], None]
) -> dict[str, Any]:
    """A package as plain data. An executor that cannot be had has a `fault` that says why."""
    return {
        "component": str(version),
        "description": found.description.strip(),
        "executors": [_executor(session, version, each, name, warn) for each in found.executors],
        "credentials": {key: _request(each) for key, each in found.credentials.items()},
        "parameters": {"template": found.templating.template, "scheme": found.templating.scheme},
        "libraries": [str(each) for each in found.templating.libraries],
        "files": list(found.additional),
    }


def _executor(
    session: Session,
    version: ComponentVersion,
    executor: Executor,
    name: str,
    warn: Callable[[str], None],
) -> dict[str, Any]:
    about: dict[str, Any] = {
        "actions": list(executor.actions) or [ALL],
        "executor": str(executor),
        "outputs": dict(executor.outputs),
        "credentialMapping": dict(executor.credential_mapping),
    }
    try:
        _, specification, image = executor_lookup.resolve(session, version, executor, name=name, warn=warn)
    except ShimError as error:
        return {**about, "fault": str(error)}
    if not executor.actions and specification.actions:
        about["actions"] = list(specification.actions)
    return {
        **about,
        "image": str(image),
        "credentials": {key: _request(each) for key, each in specification.credentials.items()},
        "offeredOutputs": dict(specification.outputs or {}),
    }


def _request(request: CredentialRequest) -> dict[str, Any]:
    return {
        "description": request.description.strip(),
        "optional": request.optional,
        "properties": dict(request.properties),
        "consumerId": dict(request.consumer_id),
    }


def text(about: Mapping[str, Any]) -> str:
    """A description for people, each line of which is safe to be shown on a terminal."""
    return "".join(f"{visible(line.rstrip())}\n" for line in _lines(about))


def _lines(about: Mapping[str, Any]) -> Iterator[str]:
    yield about["component"]
    if about["description"]:
        yield from _indented(about["description"], 2)
    yield "Actions"
    for executor in about["executors"]:
        yield f"  {_actions(executor['actions'])}: by {executor.get('image', executor['executor'])}"
        if "fault" in executor:
            yield f"    cannot be had: {executor['fault']}"
        yield from _outputs(executor)
        for name, to in executor["credentialMapping"].items():
            yield f"    credentials {name} are its {to}"
        yield from _requests(executor.get("credentials", {}), "    asks for credentials ")
    yield "Credentials" if about["credentials"] else "Credentials: none"
    yield from _requests(about["credentials"], "  ")
    yield _parameters_heading(about["parameters"])
    yield from _parameters(about["parameters"]["scheme"])
    if about["files"]:
        yield f"Files that 'toi config' writes: {', '.join(about['files'])}"


def _actions(names: list[str]) -> str:
    return "any action" if names == [ALL] else ", ".join(names)


def _outputs(executor: Mapping[str, Any]) -> Iterator[str]:
    offered = executor.get("offeredOutputs", {})
    for file, name in executor["outputs"].items():
        meaning = f": {' '.join(offered[file].split())}" if offered.get(file) else ""
        yield f"    output {name}{meaning}"


def _requests(requests: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, request in requests.items():
        optional = " (optional)" if request["optional"] else ""
        meaning = f": {' '.join(request['description'].split())}" if request["description"] else ""
        yield f"{prefix}{name}{optional}{meaning}"
        deeper = " " * (len(prefix) - len(prefix.lstrip()) + 2)
        for key, value in request["properties"].items():
            yield f"{deeper}{key}: {' '.join(value.split())}"
        if request["consumerId"]:
            consumer = ", ".join(f"{key}={value}" for key, value in sorted(request["consumerId"].items()))
            yield f"{deeper}for the consumer {consumer}"


def _parameters_heading(parameters: Mapping[str, Any]) -> str:
    if parameters["scheme"]:
        return "Parameters"
    return (
        "Parameters: any" if parameters["template"] is None else "Parameters: for a template; --json shows it"
    )


def _parameters(scheme: Any, indent: int = 2) -> Iterator[str]:
    """The properties of a scheme, as far as they are simply listed."""
    properties = scheme.get("properties") if isinstance(scheme, dict) else None
    if not isinstance(properties, dict):
        return
    required = scheme.get("required")
    for name, each in properties.items():
        about = each if isinstance(each, dict) else {}
        kind = f" ({about['type']})" if isinstance(about.get("type"), str) else ""
        needed = ", required" if isinstance(required, list) and name in required else ""
        meaning = about.get("description")
        told = f": {' '.join(meaning.split())}" if isinstance(meaning, str) else ""
        yield f"{' ' * indent}{name}{kind}{needed}{told}"
        yield from _parameters(about, indent + 2)


def _indented(told: str, width: int) -> Iterator[str]:
    yield from (" " * width + line for line in told.splitlines())
