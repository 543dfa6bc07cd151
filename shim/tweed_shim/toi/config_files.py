"""Write the files that a package offers: templates of parameters and credentials, and the scheme of the parameters."""

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack

from tweed_shim import spiff
from tweed_shim.base import named_files
from tweed_shim.base.option_names import option
from tweed_shim.errors import ConfigError, HostError
from tweed_shim.ocm.repository import ComponentVersion
from tweed_shim.ocm.session import Session
from tweed_shim.toi import package, package_resources
from tweed_shim.toi.package import AdditionalResource, Package

SCHEME_SUFFIX = ".jsonscheme"


def collect(
    session: Session,
    version: ComponentVersion,
    toi_package: Package,
    *,
    parameters: str,
    credentials: str,
) -> dict[str, bytes]:
    """Return the contents of the files that a package offers, by the paths at which they are to be written.

    parameters, credentials: the paths of these two files. Raises ConfigError where two files would have the same path,
    ComponentError and RegistryError.
    """
    scheme_path = parameters.removesuffix(".yaml") + SCHEME_SUFFIX
    if os.path.realpath(credentials) in map(os.path.realpath, (parameters, scheme_path)):
        raise ConfigError(
            f"the credentials would be written to the file of the parameters or of their scheme, {credentials}: name "
            "another with -c"
        )
    contents: dict[str, bytes] = {}
    for kind, path in ((package.CONFIG_FILE, parameters), (package.CREDENTIALS_FILE, credentials)):
        if kind in toi_package.additional:
            contents[path] = _content(session, version, toi_package.additional[kind])
    if toi_package.templating.scheme is not None:
        scheme = json.dumps(toi_package.templating.scheme, indent=2)
        contents[scheme_path] = f"{scheme}\n".encode()
    return contents


def _content(session: Session, version: ComponentVersion, additional: AdditionalResource) -> bytes:
    if additional.reference is not None:
        return package_resources.read_first_match(session, version, additional.reference)
    if isinstance(additional.content, str):
        return additional.content.encode()
    return spiff.dump(additional.content).encode()


def write(contents: Mapping[str, bytes], *, overwrite: bool) -> None:
    """Write all files or none. Raises ConfigError where one exists and `overwrite` is not set, HostError otherwise."""
    existing = [path for path in contents if os.path.lexists(path)]
    if existing and not overwrite:
        raise ConfigError(
            f"{', '.join(existing)} would be overwritten: allow that with {option('--overwrite')}, or name other files "
            "with -p and -c"
        )
    path = ""
    try:
        with ExitStack() as stack:
            for path, data in contents.items():
                stack.enter_context(named_files.writing(path)).write(data)
    except OSError as error:
        raise HostError(f"{path} cannot be written ({error.strerror}): name another file") from error
