"""Login and logout: credentials that a registry accepted are kept, and forgotten again."""

import os
from collections.abc import Mapping

from tweed_shim.errors import ConfigError
from tweed_shim.http.connect_options import DEFAULT_OPTIONS, ConnectOptions
from tweed_shim.http.retries import DEFAULT_RETRY_POLICY, RetryPolicy
from tweed_shim.image import credential_files, stored_credentials
from tweed_shim.image.reference import parse_registry
from tweed_shim.image.registry_client import open_client


def login(
    registry: str,
    username: str,
    password: str,
    *,
    connect: ConnectOptions = DEFAULT_OPTIONS,
    environ: Mapping[str, str] = os.environ,
    retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY,
) -> str:
    """Have `host[:port]` accept a name and password and keep them; returns the file or program that has them.

    Raises BadReference for a malformed host, ConfigError for a name or password that cannot be one,
    RegistryError where the registry refuses them, and what `credentials.keep` raises; then nothing is kept.
    """
    host = parse_registry(registry)
    if not username or not password or ":" in username:
        raise ConfigError(f"a login to {host} needs a name (without ':') and a password: give both")
    # Nothing is sent where it could not be kept.
    credential_files.path_to_write(environ)
    caller = credential_files.Credentials(username, password)
    with open_client(
        host, lambda _origin: caller, connect=connect, environ=environ, retry_policy=retry_policy
    ) as client:
        client.verify()
    return stored_credentials.keep(host, caller, environ)


def logout(registry: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Forget what is kept for `host[:port]`; whether there was something. Raises as `credentials.forget`."""
    return stored_credentials.forget(parse_registry(registry), environ)
