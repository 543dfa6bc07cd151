"""Login and logout: stores credentials that a registry accepts, and removes them."""

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
    """Log in to `host[:port]` and store the credentials; return the file or program that holds them.

    Raises BadReference for a malformed host, ConfigError for a malformed name or password, RegistryError where the
    registry refuses them, and as `stored_credentials.keep`. Then nothing is stored.
    """
    host = parse_registry(registry)
    if not username or not password or ":" in username:
        raise ConfigError(f"a login to {host} needs a name (without ':') and a password; give both")
    # Without a file to store them in, the credentials are not sent either.
    credential_files.path_to_write(environ)
    credentials = credential_files.Credentials(username, password)
    with open_client(
        host, lambda _origin: credentials, connect=connect, environ=environ, retry_policy=retry_policy
    ) as client:
        client.verify()
    return stored_credentials.keep(host, credentials, environ)


def logout(registry: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Remove the credentials for `host[:port]`; return whether there were any. Raises as stored_credentials.forget."""
    return stored_credentials.forget(parse_registry(registry), environ)
