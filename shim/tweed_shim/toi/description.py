"""Describe a package, its actions and what it asks for, as plain data and as text."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tweed_shim.base.text import visible
from tweed_shim.errors import ShimError
from tweed_shim.ocm.repository import ComponentVersion
from tweed_shim.ocm.session import Session
from tweed_shim.toi import executor_lookup
from tweed_shim.toi.common_fields import CredentialRequest
from tweed_shim.toi.package import ExecutorEntry, Package

ALL = "*"


def describe(
    session: Session,
    version: ComponentVersion,
    toi_package: Package,
    *,
    name: str,
    warn: Callable[[str], None],
) -> dict[str, Any]:
    """Return a package as plain data. An executor that cannot be toi_package has a `fault` that says why."""
    return {
        "component": str(version),
        "description": toi_package.description.strip(),
        "executors": [
            _executor(session, version, each, name=name, warn=warn) for each in toi_package.executors
        ],
        "credentials": {key: _request(each) for key, each in toi_package.credentials.items()},
        "parameters": {"template": toi_package.templating.template, "scheme": toi_package.templating.scheme},
        "libraries": [str(each) for each in toi_package.templating.libraries],
        "files": list(toi_package.additional),
    }


def _executor(
    session: Session,
    version: ComponentVersion,
    entry: ExecutorEntry,
    *,
    name: str,
    warn: Callable[[str], None],
) -> dict[str, Any]:
    about: dict[str, Any] = {
        "actions": list(entry.actions) or [ALL],
        "executor": str(entry),
        "outputs": dict(entry.outputs),
        "credentialMapping": dict(entry.credential_mapping),
    }
    try:
        details = executor_lookup.resolve_entry(session, version, entry, name=name, warn=warn)
    except ShimError as error:
        return {**about, "fault": str(error)}
    specification = details.specification
    if not entry.actions and specification.actions:
        about["actions"] = list(specification.actions)
    return {
        **about,
        "image": str(details.image),
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
    """Return a description for people; each line is safe to show on a terminal."""
    return "".join(f"{visible(line.rstrip())}\n" for line in _lines(about))


def _lines(about: Mapping[str, Any]) -> Iterator[str]:
    yield about["component"]
    if about["description"]:
        yield from _indented(about["description"], 2)
    yield "Actions"
    for executor in about["executors"]:
        yield f"  {_actions(executor['actions'])}: by {executor.get('image', executor['executor'])}"
        if "fault" in executor:
            yield f"    cannot be used: {executor['fault']}"
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
    """Yield the properties of a scheme, and theirs; what else a scheme can say is not shown."""
    properties = scheme.get("properties") if isinstance(scheme, dict) else None
    if not isinstance(properties, dict):
        return
    required = scheme.get("required")
    for name, each in properties.items():
        about = each if isinstance(each, dict) else {}
        kind = f" ({about['type']})" if isinstance(about.get("type"), str) else ""
        needed = ", required" if isinstance(required, list) and name in required else ""
        meaning = about.get("description")
        description = f": {' '.join(meaning.split())}" if isinstance(meaning, str) else ""
        yield f"{' ' * indent}{name}{kind}{needed}{description}"
        yield from _parameters(about, indent + 2)


def _indented(text: str, width: int) -> Iterator[str]:
    yield from (" " * width + line for line in text.splitlines())
