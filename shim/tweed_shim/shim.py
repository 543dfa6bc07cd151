"""The Python API: a store of images and clouds, and the backends that work on them."""

import os
from collections.abc import Mapping, Sequence

from tweed_shim import gc, idmap
from tweed_shim.image import pull, removal, store
from tweed_shim.lean.typing import Any
from tweed_shim.records import EMPTY
from tweed_shim.runtime import log_space, runs
from tweed_shim.runtime.container import Console
from tweed_shim.runtime.options import RunOptions
from tweed_shim.settings import Settings, check_root, default_log_limit, default_root
from tweed_shim.tweed import clouds
from tweed_shim.tweed.backend import Backend, Options


class Shim:
    """A store, and the runtime that its images are run with.

    root: the store's directory; by default `$TWEED_SHIM_ROOT`, else `/var/lib/tweed-shim` for root and
    `$XDG_DATA_HOME/tweed-shim` for others. runtime: the OCI runtime's program. console: where diagnostics are
    shown; by default nowhere, they are in the logs. log_limit: what the logs of all runs may take on disk together,
    bytes; by default `$TWEED_SHIM_LOG_LIMIT`, else 1 GiB. Raises ConfigError where no directory is named and there is
    no home directory.

    Safe to use from several threads and processes at once.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        runtime: str = "runc",
        console: Console | None = None,
        log_limit: int | None = None,
    ) -> None:
        named = default_root(os.environ, os.geteuid()) if root is None else os.fspath(root)
        if not named:
            check_root(named)
        limit = default_log_limit(os.environ) if log_limit is None else log_limit
        self.settings = Settings(os.path.abspath(named), runtime, limit)
        self._console = console or Console()

    def backend(self, image: str, *, cloud: str = "default", options: Options | None = None) -> Backend:
        """A backend image, to be used with one cloud's configuration.

        Nothing is pulled or run yet. Raises ConfigError where `cloud` cannot name a cloud.
        """
        return Backend(self.settings, image, cloud, options or Options(), self._console)

    def bootstrap(
        self,
        action: str,
        component: str,
        *,
        package: Mapping[str, str] = EMPTY,
        parameters: Any = None,
        credentials: Any = None,
        repository: str | os.PathLike[str] = "",
        lookups: Sequence[str | os.PathLike[str]] = (),
        ocm_config: str | os.PathLike[str] | None = None,
        options: RunOptions | None = None,
        trust_templates: bool = False,
        copy_resources: bool = False,
        every_output: bool = False,
        allow_verbs: Sequence[str] = (),
    ) -> dict[str, bytes]:
        """Carry out an action of a TOI package, as `tweed-shim toi bootstrap` does, and return its outputs by name.

        component: `REPOSITORY//NAME:VERSION`, or `NAME:VERSION` in the `repository`; `lookups` are further ones.
        package: parts of the package's identity. parameters, credentials: what the files of these names would hold, as
        data or as text; no file is looked for. ocm_config: the path of OCM's configuration, by default the usual one,
        `None` as a text for none. options: how the executor's image is had and run. allow_verbs: HTTP methods besides
        GET by which the access of a resource may fetch it.

        Raises OperationFailed and TimedOut, whose `outputs` are what the executor wrote nevertheless, and OutputsLost,
        whose `outputs` are those that could be kept; where nothing was run, ComponentError, ContractError, ConfigError,
        RegistryError and whatever else `pull` raises.
        """
        from tweed_shim.toi import installation, preparation

        wishes = preparation.Wishes(
            action,
            package,
            installation.document(parameters, "the parameters"),
            installation.document(credentials, "the credentials"),
            "system" if trust_templates else "private",
            copy_resources,
        )
        return installation.install(
            self.settings,
            self._console,
            options or RunOptions(),
            component,
            wishes,
            repository=os.fspath(repository),
            lookups=[os.fspath(each) for each in lookups],
            ocm_config=None if ocm_config is None else os.fspath(ocm_config),
            every_output=every_output,
            verbs=allow_verbs,
        )

    def pull(
        self,
        image: str,
        *,
        policy: str = "always",
        platform: str | None = None,
        insecure: bool = False,
        ca_file: str | None = None,
    ) -> store.Image:
        """Have an image in the store, unpacked.

        Raises BadReference, RegistryError, ImageError, StateError (not there, and policy `never`) or HostError.
        """
        log_space.relieve_disk(self.settings.root)
        return pull.obtain(
            self.settings.root,
            image,
            pull=policy,
            platform=platform,
            insecure=insecure,
            ca_file=ca_file,
            report=self._console.report,
            idmap=idmap.detect(),
        )

    def images(self) -> list[store.Stored]:
        """The images of the store."""
        with store.disk_faults(self.settings.root):
            return store.images(self.settings.root)

    def remove(self, images: Sequence[str]) -> None:
        """Remove images from the store.

        Raises StateError where one is not there, or is in use by a running operation, a cloud or an interaction;
        none is removed then.
        """
        root = self.settings.root
        removal.remove(root, images, lambda: clouds.images(root))

    def gc(
        self, *, keep_last: int = 0, keep_logs: int = gc.KEEP_LOGS, dry_run: bool = False
    ) -> list[gc.Removed]:
        """Remove what no reference, cloud or interaction uses, logs, and what crashes left; see `gc.collect`."""
        root, warn = self.settings.root, self._console.warn
        with store.disk_faults(root):
            return list(
                gc.collect(root, keep_last=keep_last, keep_logs=keep_logs, dry_run=dry_run, warn=warn)
            )

    def remove_logs(self, numbers: Sequence[str] | None = None) -> None:
        """Remove runs with their records and logs; by default all that have ended.

        Raises StateError where one is not kept, or goes on; none is removed then.
        """
        root = self.settings.root
        with store.disk_faults(root):
            store.check_version(root)
            runs.remove(root, numbers)

    def clouds(self) -> list[clouds.CloudState]:
        """The clouds of the store, with their interactions."""
        root = self.settings.root
        with store.disk_faults(root):
            store.check_version(root)
            return clouds.states(root)

    def remove_cloud(self, name: str) -> None:
        """Remove a cloud's configuration. Raises StateError where it is not there, or still has interactions."""
        root = self.settings.root
        cloud = clouds.Cloud(root, clouds.check_name("a cloud", name), idmap.detect(), self._console.warn)
        with store.disk_faults(root):
            store.check_version(root)
            clouds.remove(cloud)
