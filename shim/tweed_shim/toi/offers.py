"""The files that a package offers to its users: templates of their parameters and credentials, and the scheme."""

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack

from tweed_shim import named_files, spiff
from tweed_shim.errors import ConfigError, HostError
from tweed_shim.ocm.repository import ComponentVersion
from tweed_shim.ocm.session import Session
from tweed_shim.option_names import option
from tweed_shim.toi import contents, package
from tweed_shim.toi.package import AdditionalResource, Package

SCHEME = ".jsonscheme"


def offered(
    session: Session, version: ComponentVersion, found: Package, *, parameters: str, credentials: str
) -> dict[str, bytes]:
    """What a package offers, by the paths of the files that it is for.

    Raises ConfigError where two would be one file, ComponentError and RegistryError.
    """
    scheme_path = parameters.removesuffix(".yaml") + SCHEME
    if os.path.realpath(credentials) in map(os.path.realpath, (parameters, scheme_path)):
        raise ConfigError(
            f"the credentials would be written to the file of the parameters or of their scheme, {credentials}: name "
            "another with -c"
        )
    made: dict[str, bytes] = {}
    for kind, path in ((package.CONFIG_FILE, parameters), (package.CREDENTIALS_FILE, credentials)):
        if kind in found.additional:
            made[path] = _content(session, version, found.additional[kind])
    if found.templating.scheme is not None:
        scheme = json.dumps(found.templating.scheme, indent=2)
        made[scheme_path] = f"{scheme}\n".encode()
    return made


def _content(session: Session, version: ComponentVersion, offer: AdditionalResource) -> bytes:
    if offer.reference is not None:
        return contents.offered(session, version, offer.reference)
    if isinstance(offer.content, str):
        return offer.content.encode()
    return spiff.dump(offer.content).encode()


def write(made: Mapping[str, bytes], *, overwrite: bool) -> None:
    """Write all of the files or none. Raises ConfigError where one is there and is not to be overwritten."""
    there = [path for path in made if os.path.lexists(path)]
    if there and not overwrite:
        raise ConfigError(
            f"{', '.join(there)} would be overwritten: say so with {option('--overwrite')}, or name others with "
            "-p and -c"
        )
    path = ""
    try:
        with ExitStack() as stack:
            for path, data in made.items():
                stack.enter_context(named_files.writing(path)).write(data)
    except OSError as error:
        raise HostError(f"{path} cannot be written ({error.strerror}): name another file") from error
