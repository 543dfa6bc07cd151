"""A session with the repositories and credentials of the user's OCM configuration."""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tweed_shim.http.connect_options import ConnectOptions
from tweed_shim.ocm import ocmconfig
from tweed_shim.ocm.credential_lookup import ConfiguredCredentials
from tweed_shim.ocm.registry_store import ConnectionSettings
from tweed_shim.ocm.session import Session

if TYPE_CHECKING:
    from tweed_shim.host.worker_process import WorkerProcess


def open_session(
    path: str | None,
    *,
    lookups: Sequence[str],
    connect: ConnectOptions,
    info: Callable[[str], None],
    verbs: Sequence[str] = (),
    worker: "WorkerProcess | None" = None,
) -> tuple[Session, ConfiguredCredentials]:
    """Return a session, and the configured credentials that it uses.

    path: of the configuration, None for the default one, the text `None` for no configuration. lookups: as in
    `Session`. connect and verbs: as in `ConnectionSettings`. info: receives warnings about settings without effect.
    worker: as in `ocmconfig.load`. Raises ConfigError.
    """
    file = ocmconfig.find_file(path, os.environ)
    settings = ocmconfig.load(file, worker) if file else ocmconfig.OcmConfiguration()
    credentials = ConfiguredCredentials(settings, os.environ)
    for warning in (*settings.warnings, *credentials.warnings):
        info(warning)
    connection = ConnectionSettings(
        connect=connect, find=credentials.for_consumer, verbs=tuple(map(str.upper, verbs))
    )
    return Session(connection=connection, lookups=lookups, configuration=settings), credentials
