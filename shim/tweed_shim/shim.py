"""The Python API: a store of images and clouds, and the backends that work on them."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from tweed_shim import gc, idmap, interpreter
from tweed_shim.connect_options import ConnectOptions
from tweed_shim.image import pull, removal, store
from tweed_shim.lean.typing import TYPE_CHECKING, Any
from tweed_shim.option_values import argument, flag, instance, optional, path, sequence, text, text_map
from tweed_shim.records import EMPTY
from tweed_shim.runtime import log_space, runs
from tweed_shim.runtime.container import Console
from tweed_shim.runtime.options import RunOptions
from tweed_shim.settings import Settings, check_root, default_log_limit, default_root
from tweed_shim.tweed import cloud_removal, cloud_states, clouds
from tweed_shim.tweed.backend import Backend, Options
from tweed_shim.tweed.clouds import Cloud

if TYPE_CHECKING:
    from tweed_shim import fsck


class Shim:
    """A store, and the runtime that its images are run with.

    root: the store's directory; by default `$TWEED_SHIM_ROOT`, else `/var/lib/tweed-shim` for root and
    `$XDG_DATA_HOME/tweed-shim` for others. runtime: the OCI runtime's program. console: where diagnostics are
    shown; by default nowhere, they are in the logs. log_limit: what the logs of all runs may take on disk together,
    bytes; by default `$TWEED_SHIM_LOG_LIMIT`, else 1 GiB. python: the path of the Python interpreter that the shim's
    own programs are started with, where `sys.executable` is none and none is found; it counts for the whole process.
    Raises ConfigError where no directory is named and there is no home directory.

    Safe to use from several threads and processes at once.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        runtime: str = "runc",
        console: Console | None = None,
        log_limit: int | None = None,
        python: str | os.PathLike[str] | None = None,
    ) -> None:
        named = default_root(os.environ, os.geteuid()) if root is None else root
        if named == "":
            check_root(named)
        named = argument("root", named, path)
        limit = default_log_limit(os.environ) if log_limit is None else log_limit
        self.settings = Settings(os.path.abspath(named), runtime, limit)
        self._console = argument("console", console, optional(instance(Console))) or Console()
        if python is not None:
            interpreter.choose(os.path.abspath(argument("python", python, path)))

    def backend(self, image: str, *, cloud: str = "default", options: Options | None = None) -> Backend:
        """A backend image, to be used with one cloud's configuration.

        Nothing is pulled or run yet. Raises BadReference where `image` cannot name an image, ConfigError where `cloud`
        cannot name a cloud, and HostError for options that the host cannot give.
        """
        options = argument("options", options, optional(instance(Options))) or Options()
        return Backend(self.settings, image, cloud, options, self._console)

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
        `None` as a text for none. options: how the executor's image is had and run; their `timeout` is also the time
        for all templates together. allow_verbs: HTTP methods besides GET by which the access of a resource may fetch
        it.

        Raises OperationFailed and TimedOut, whose `outputs` are what the executor wrote nevertheless, and OutputsLost,
        whose `outputs` are those that could be kept; where nothing was run, ComponentError, ContractError, ConfigError,
        RegistryError and whatever else `pull` raises.
        """
        from tweed_shim.toi import installation, preparation

        repository = repository if repository == "" else argument("repository", repository, path)
        wishes = preparation.Wishes(
            argument("action", action, text),
            argument("package", package, text_map),
            installation.document(parameters, "the parameters"),
            installation.document(credentials, "the credentials"),
            "system" if argument("trust_templates", trust_templates, flag) else "private",
            argument("copy_resources", copy_resources, flag),
        )
        return installation.install(
            self.settings,
            self._console,
            argument("options", options, optional(instance(RunOptions))) or RunOptions(),
            component,
            wishes,
            repository=repository,
            lookups=argument("lookups", lookups, sequence(path)),
            ocm_config=argument("ocm_config", ocm_config, optional(path)),
            every_output=argument("every_output", every_output, flag),
            verbs=argument("allow_verbs", allow_verbs, sequence(text)),
        )

    def pull(
        self,
        image: str,
        *,
        policy: str = "always",
        platform: str | None = None,
        insecure: bool = False,
        ca_file: str | None = None,
        cert_file: str | None = None,
        key_file: str | None = None,
        timeout: float | None = None,
    ) -> store.Image:
        """Have an image in the store, unpacked.

        insecure, ca_file, cert_file, key_file, timeout: as in ConnectOptions. Raises BadReference, ConfigError,
        RegistryError (PullTimedOut where it takes longer than `timeout` seconds), ImageError, HostError, or StateError
        (not there, and policy `never`).
        """
        log_space.relieve_disk(self.settings.root)
        check = RunOptions.CHECKS
        return pull.obtain(
            self.settings.root,
            image,
            pull=argument("policy", policy, check["pull"]),
            platform=argument("platform", platform, check["platform"]),
            connect=ConnectOptions(insecure, ca_file, cert_file, key_file, timeout),
            report=self._console.report,
            idmap=idmap.detect(),
        )

    def images(self) -> list[store.Stored]:
        """The images of the store."""
        with store.disk_faults(self.settings.root):
            return store.images(self.settings.root, self._console.warn)

    def remove(self, images: Sequence[str]) -> None:
        """Remove images from the store.

        Raises StateError where one is not there, or is in use by a running operation, a cloud or an interaction;
        none is removed then.
        """
        root, names = self.settings.root, argument("images", images, sequence(text))
        removal.remove(root, names, lambda: cloud_states.image_users(root), warn=self._console.warn)

    def gc(
        self, *, keep_last: int = 0, keep_logs: int = gc.KEEP_LOGS, dry_run: bool = False
    ) -> list[gc.Removed]:
        """Remove what no reference, cloud or interaction uses, logs, and what crashes left; see `gc.collect`."""
        root, warn = self.settings.root, self._console.warn
        keep_last = argument("keep_last", keep_last, gc.KEPT_IMAGES)
        keep_logs = argument("keep_logs", keep_logs, gc.KEPT_LOGS)
        dry_run = argument("dry_run", dry_run, flag)
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

    def fsck(
        self, *, repair: bool = False, insecure: bool = False, ca_file: str | None = None
    ) -> "list[fsck.Damage]":
        """Check the store, and return what is damaged; see `fsck.check`.

        repair: fetch and unpack it again. insecure, ca_file: how it is fetched, as for `pull`.
        """
        from tweed_shim import fsck
        from tweed_shim.image.progress import silent

        root, connect = self.settings.root, ConnectOptions(insecure, ca_file)
        is_repairing = argument("repair", repair, flag)
        with store.disk_faults(root):
            return list(fsck.check(root, connect if is_repairing else None, self._console.report or silent))

    def clouds(self) -> list[cloud_states.CloudState]:
        """The clouds of the store, with their interactions."""
        root = self.settings.root
        with store.disk_faults(root):
            store.check_version(root)
            return cloud_states.states(root, self._console.warn)

    def remove_cloud(self, name: str) -> None:
        """Remove a cloud's configuration. Raises StateError where it is not there, or still has interactions."""
        with self._cloud(name) as cloud:
            cloud_removal.remove(cloud)

    def forget(self, cloud: str, interaction: str | None = None) -> None:
        """Give up an interaction that no teardown can remove, or a cloud with all of its interactions.

        Nothing is run: what their images made in the backend stays there. The console's `warn` takes a sentence about
        each loss before anything is removed. Raises StateError where there is no such cloud, or the interaction is not
        set up.
        """
        with self._cloud(cloud) as found:
            if interaction is None:
                cloud_removal.give_up(found, self._console.warn)
            else:
                cloud_removal.give_up_interaction(found, interaction, self._console.warn)

    def environment(self, cloud: str = "default", interaction: str = "default") -> dict[str, str]:
        """Return the environment of an interaction that is set up; no image is needed for it.

        Raises StateError where the interaction is not set up, or its environment could not be recorded.
        """
        with self._cloud(cloud) as found:
            return clouds.environment(found, interaction)

    @contextmanager
    def _cloud(self, name: str) -> Iterator[Cloud]:
        """Yield the cloud of a name; faults of the disk are told as the store's."""
        root = self.settings.root
        cloud = Cloud(root, clouds.check_name("a cloud", name), idmap.detect(), self._console.warn)
        with store.disk_faults(root):
            store.check_version(root)
            yield cloud
