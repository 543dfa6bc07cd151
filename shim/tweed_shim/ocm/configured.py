"""A session as a user's configuration of OCM wants it."""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tweed_shim.http.connect_options import ConnectOptions
from tweed_shim.ocm import configuration
from tweed_shim.ocm.credentials import Credentials
from tweed_shim.ocm.registries import Connection
from tweed_shim.ocm.session import Session

if TYPE_CHECKING:
    from tweed_shim.host.worker_process import WorkerProcess


def session(
    path: str | None,
    *,
    lookups: Sequence[str],
    connect: ConnectOptions,
    info: Callable[[str], None],
    verbs: Sequence[str] = (),
    worker: "WorkerProcess | None" = None,
) -> tuple[Session, Credentials]:
    """The session, and the configured credentials that it uses.

    path: of the configuration, None for the usual one, `None` for no configuration at all. lookups: as in `Session`.
    connect and verbs: as in `Connection`. info: takes warnings about what the configuration means by nothing known.
    worker: as in `configuration.load`. Raises ConfigError.
    """
    found = configuration.path(path, os.environ)
    settings = configuration.load(found, worker) if found else configuration.Configuration()
    credentials = Credentials(settings, os.environ)
    for warning in (*settings.warnings, *credentials.warnings):
        info(warning)
    connection = Connection(
        connect=connect, find=credentials.for_consumer, verbs=tuple(map(str.upper, verbs))
    )
    return Session(connection=connection, lookups=lookups, configuration=settings), credentials
