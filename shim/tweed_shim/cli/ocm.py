"""`ocm`: component versions of the Open Component Model."""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tweed_shim.base.records import fields
from tweed_shim.base.text import visible
from tweed_shim.cli import components, tables
from tweed_shim.cli.commands import Arguments, Context, Group, Parser, wrong_value
from tweed_shim.errors import ComponentError, UsageError
from tweed_shim.ocm import (
    ctf,
    descriptor_codec,
    element_identity,
    references,
    resource_content,
    resource_images,
    transfer,
    versions,
)
from tweed_shim.ocm.component_descriptor import Resource
from tweed_shim.ocm.repository import ComponentVersion
from tweed_shim.ocm.session import Session

if TYPE_CHECKING:
    from datetime import datetime

    from tweed_shim.ocm.signatures import Check, Verification

VERSIONS = {"component": "COMPONENT", "version": "VERSION", "provider": "PROVIDER"}
RESOURCES = {
    "name": "NAME",
    "version": "VERSION",
    "identity": "IDENTITY",
    "type": "TYPE",
    "relation": "RELATION",
    "access": "ACCESS",
}
TRANSFERRED = {"component": "COMPONENT", "version": "VERSION", "done": "TRANSFERRED"}

CHECKS = {
    "state": "STATE",
    "kind": "KIND",
    "name": "NAME",
    "version": "VERSION",
    "component": "COMPONENT",
    "why": "WHY",
}


def _configure_source(parser: Parser, *, several: bool = False) -> Group:
    """Add COMPONENT and the options of its repository; returns the group of the latter."""
    group = components.configure(parser, several=several)
    group.add_argument(
        "-c",
        "--constraints",
        metavar="RANGE",
        default="",
        help="where COMPONENT has no version: the newest in this range, such as '>=1.2, <2'",
    )
    components.configure_registries(group)
    return group


def _configure_list(parser: Parser) -> None:
    tables.configure(parser)
    parser.add_argument(
        "--format", choices=("table", "json", "yaml"), default="table", help="the output format"
    )


def _session(arguments: Arguments, context: Context) -> Session:
    return components.open_session(arguments, context)[0]


def _form(arguments: Arguments) -> str:
    return "json" if arguments.json else str(arguments.format)


def _named(session: Session, arguments: Arguments) -> ComponentVersion:
    return session.component_version(arguments.component, arguments.repo, arguments.constraints)


def _all_named(session: Session, arguments: Arguments, *, every: bool) -> Iterator[ComponentVersion]:
    """Yield the given component version, or all versions of a component, or all of a repository.

    every: all versions of a component that was given without one, not the newest alone.
    """
    repository, location = session.locate(arguments.component, arguments.repo)
    if repository is None or location.version or (location.component and not every):
        yield _named(session, arguments)
        return
    for component in [location.component] if location.component else repository.components():
        for version in versions.matching(repository.versions(component), arguments.constraints):
            yield session.find(component, version, [repository])


def configure_ocm_get(parser: Parser) -> None:
    """Add the options of `ocm get`."""
    _configure_source(parser, several=True)
    parser.add_argument("--all", action="store_true", help="all versions of a component, not only the newest")
    parser.add_argument("-r", "--recursive", action="store_true", help="with everything that is referenced")
    _configure_list(parser)


def ocm_get_command(arguments: Arguments, context: Context) -> int:
    """List component versions, or print their descriptors."""
    with _session(arguments, context) as session:
        component_versions = _all_named(session, arguments, every=arguments.all)
        listed = list(session.closure(component_versions) if arguments.recursive else component_versions)
        if _form(arguments) == "yaml":
            sys.stdout.write(
                "---\n".join(descriptor_codec.encode(each.descriptor).decode() for each in listed)
            )
        elif _form(arguments) == "json":
            _print_json([descriptor_codec.to_fields(each.descriptor) for each in listed])
        else:
            rows = [
                {"component": each.name, "version": each.version, "provider": each.provider.name}
                for each in (version.descriptor for version in listed)
            ]
            tables.show(rows, VERSIONS, as_json=False)
    return 0


def configure_ocm_resources(parser: Parser) -> None:
    """Add the options of `ocm resources`."""
    _configure_source(parser)
    parser.add_argument(
        "-r", "--recursive", action="store_true", help="with the resources of everything that is referenced"
    )
    _configure_list(parser)


def ocm_resources_command(arguments: Arguments, context: Context) -> int:
    """List the resources of a component version."""
    with _session(arguments, context) as session:
        start = _named(session, arguments)
        owners = list(session.closure([start])) if arguments.recursive else [start]
        rows = [_row(owner, each) for owner in owners for each in owner.descriptor.resources]
        columns = {"component": "COMPONENT", **RESOURCES} if arguments.recursive else RESOURCES
        if _form(arguments) == "table":
            for row in rows:
                row["identity"] = element_identity.describe(row["identity"])
                row["access"] = row["access"]["type"]
            tables.show(rows, columns, as_json=False)
        else:
            _print(rows, _form(arguments))
    return 0


def _row(owner: ComponentVersion, each: Resource) -> dict[str, Any]:
    digest = each.digest
    recorded = digest and {
        "hashAlgorithm": digest.hash_algorithm,
        "normalisationAlgorithm": digest.normalisation,
        "value": digest.value,
    }
    return {
        "component": str(owner),
        "name": each.name,
        "version": each.version,
        "identity": element_identity.of_element(each, owner.descriptor.resources),
        "type": each.type,
        "relation": each.relation,
        "access": dict(each.access),
        **({"digest": recorded} if recorded else {}),
    }


def configure_ocm_download(parser: Parser) -> None:
    """Add the options of `ocm download`."""
    components.configure_verbs(_configure_source(parser))
    parser.intermixed = True
    parser.add_argument("name", metavar="NAME", help="the resource")
    parser.add_argument(
        "identity",
        metavar="KEY=VALUE",
        nargs="*",
        help="further attributes of its identity, as 'ocm resources' lists them",
    )
    parser.add_argument("-O", "--outfile", metavar="FILE", required=True, help="the output file; - is stdout")
    parser.add_argument(
        "--oci-layout",
        action="store_true",
        help="write an OCI artifact as an image layout, for 'exec oci:DIR'",
    )


def ocm_download_command(arguments: Arguments, context: Context) -> int:
    """Write the content of a resource, verified, to a file."""
    pattern = element_identity.parse([arguments.name, *arguments.identity])
    if arguments.oci_layout and arguments.outfile == "-":
        raise UsageError("--oci-layout writes a directory; name it with -O")
    with _session(arguments, context) as session:
        version = _named(session, arguments)
        resource = _only(version, pattern)
        if arguments.oci_layout:
            resource_images.write_layout(version, resource, session.connection, directory=arguments.outfile)
            return 0
        with resource_content.open_content(version, resource, session.connection) as blob:
            resource_content.write_content(blob, arguments.outfile)
    return 0


def _only(version: ComponentVersion, pattern: Mapping[str, str]) -> Resource:
    matches = element_identity.select(version.descriptor.resources, pattern)
    if len(matches) == 1:
        return matches[0]
    choices = "; ".join(
        element_identity.describe(element_identity.of_element(each, version.descriptor.resources))
        for each in matches or version.descriptor.resources
    )
    raise ComponentError(
        f"{version} has {len(matches) or 'no'} resources {element_identity.describe(pattern)}; "
        f"use one of these: {choices or 'none'}"
    )


def configure_ocm_transfer(parser: Parser) -> None:
    """Add the options of `ocm transfer`."""
    components.configure_verbs(_configure_source(parser, several=True))
    parser.add_argument("target", metavar="TARGET", help="the PATH of an archive, or HOST[:PORT]/PREFIX")
    parser.add_argument("-r", "--recursive", action="store_true", help="with everything that is referenced")
    parser.add_argument("-V", "--copy-resources", action="store_true", help="embed resources from elsewhere")
    parser.add_argument("--copy-sources", action="store_true", help="embed sources from elsewhere")
    parser.add_argument(
        "-f", "--overwrite", action="store_true", help="replace existing versions that differ"
    )
    parser.add_argument(
        "-t",
        "--type",
        choices=ctf.FORMATS,
        default="",
        help="the format of a new archive (default: directory)",
    )
    tables.configure(parser)


def ocm_transfer_command(arguments: Arguments, context: Context) -> int:
    """Transfer component versions to another repository."""
    target = _target(arguments)
    options = transfer.TransferOptions(
        recursive=arguments.recursive,
        copy_resources=arguments.copy_resources,
        copy_sources=arguments.copy_sources,
        overwrite=arguments.overwrite,
        file_format=arguments.type,
    )
    with _session(arguments, context) as session:
        component_versions = list(_all_named(session, arguments, every=False))
        report = context.messages.report or (lambda _step: None)
        rows = [
            fields(each)
            for each in transfer.transfer(session, component_versions, target, options=options, report=report)
        ]
    tables.show(rows, TRANSFERRED, as_json=arguments.json)
    return 0


def configure_ocm_verify(parser: Parser) -> None:
    """Add the options of `ocm verify`."""
    _configure_source(parser)
    parser.add_argument("--signature", "-s", metavar="NAME", required=True, help="the signature to verify")
    parser.add_argument(
        "--public-key", "-k", metavar="FILE", required=True, help="the public key or certificate (PEM)"
    )
    parser.add_argument(
        "--at",
        metavar="TIME",
        type=_time,
        help="the time when a certificate must be valid, such as 2024-05-01T12:00:00Z (default: now)",
    )
    parser.add_argument(
        "--allow-unverified",
        metavar="TYPE",
        action="append",
        default=[],
        help="accept contents of this access type that cannot be compared (repeatable)",
    )
    tables.configure(parser)


def _time(text: str) -> "datetime":
    from tweed_shim.ocm import timestamps

    try:
        return timestamps.parse(text)
    except ValueError as error:
        raise wrong_value(str(error)) from None


def ocm_verify_command(arguments: Arguments, context: Context) -> int:
    """Verify a signature and everything that it covers, and print the result; exit code 1 where anything fails."""
    from tweed_shim.ocm import keys, verification

    key = keys.load(arguments.public_key, at=arguments.at)
    with _session(arguments, context) as session:
        result = verification.verify(
            session,
            _named(session, arguments),
            arguments.signature,
            key,
            allowed=arguments.allow_unverified,
        )
    if arguments.json:
        _print_json(_verdict_fields(result))
    else:
        tables.show([_check_row(each) for each in result.checks], CHECKS, as_json=False)
        sys.stdout.write(f"{visible(_verdict(result))}\n")
    return 0 if result.is_verified else 1


def _verdict_fields(result: "Verification") -> dict[str, Any]:
    return {
        "component": result.component,
        "signature": result.signature,
        "key": result.key,
        "verified": result.is_verified,
        "complete": result.is_complete,
        "components": {name: each.value for name, each in result.digests.items()},
        "elements": [fields(each) for each in result.checks],
    }


def _check_row(check: "Check") -> dict[str, str]:
    extra = {key: value for key, value in check.identity.items() if key not in ("name", "version")}
    return {
        "state": check.state,
        "kind": check.kind,
        "name": f"{check.name} ({element_identity.describe(extra)})" if extra else check.name,
        "version": check.version,
        "component": check.component,
        "why": f"{check.why} (excepted by --allow-unverified)" if check.excepted else check.why,
    }


def _verdict(result: "Verification") -> str:
    signature = f"the signature {result.signature!r} of {result.component}"
    counts = Counter(each.state for each in result.checks)
    if not result.is_signed:
        return f"NOT verified: {signature} {'is not valid' if counts['failed'] else 'could not be verified'}"
    words = {"failed": "failed", "not verified": "could not be verified"}
    wrong = " and ".join(f"{counts[state]} {text}" for state, text in words.items() if counts[state])
    if not result.is_verified:
        return f"NOT verified: {signature} is valid, but of the contents {wrong}"
    exceptions = f", but of the contents {wrong}, which is allowed" if wrong else ""
    return f"verified: {signature} is valid{exceptions}, by {result.key}"


def _target(arguments: Arguments) -> references.RepositorySpec:
    """Return the target. With --type, a word that could also be a registry (`new.tar`) is the name of a file."""
    if arguments.type and ":" not in arguments.target:
        return references.RepositorySpec(references.CTF, path=arguments.target)
    return references.parse_repository(arguments.target)


def _print_json(value: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def _print(rows: Sequence[Mapping[str, Any]], form: str) -> None:
    if form == "json":
        _print_json(rows)
        return
    import yaml

    yaml.safe_dump([dict(row) for row in rows], sys.stdout, sort_keys=False)
