"""What a killed shim leaves, seen from the outside: processes, mounts, control groups, and the files of the store."""

import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any

from installed import END_SECONDS, Shim, describe, mentions, processes, survivors
from leftovers import cgroups


class Examination:
    """Looks at a host and a store without the program's help, and tells what is wrong, a sentence each."""

    def __init__(self, shim: Shim) -> None:
        self._shim = shim
        self.whole: dict[str, object] = {}

    def remember_trees(self) -> None:
        """Take the trees that are there now as the measure of what is whole."""
        self.whole = {name: self.tree_state(name) for name in self.trees()}

    def host(self) -> Iterator[str]:
        """What is left outside of the store that is not on its way out."""
        while pids := self._processes():
            if left := survivors(pids):
                yield from (f"process {describe(pid)} is left after {END_SECONDS} s" for pid in left)
                break
        if mentions("/proc/self/mountinfo", os.fsencode(self._shim.root)):
            yield "a mount is left"

    def _processes(self) -> list[int]:
        """Those that work for the store; once more those in its control groups, as one that is ending has no name."""
        found = processes(self._shim.root, self._shim.account)
        for group in cgroups(self._shim.root):
            with open(os.path.join(group, "cgroup.procs"), encoding="ascii") as file:
                found += map(int, file.read().split())
        return found

    def store(self) -> Iterator[str]:
        """What has to hold at any time."""
        yield from self._blobs()
        yield from self._record_faults()
        for name in self.trees():
            if self.tree_state(name) != self.whole.get(name):
                yield f"the tree {name} is not whole"

    def tidy(self) -> Iterator[str]:
        """What has to hold besides once the same operation has been done again."""
        yield from self.store()
        root = self._shim.root
        yield from (f"{each} is left" for each in cgroups(root))
        for place in ("tmp", "scratch"):
            yield from (f"{place}/{name} is left" for name in os.listdir(os.path.join(root, place)))
        recorded = sorted(record["reference"] for record in self.records())
        indexed = sorted(each["annotations"]["tweed-shim.reference"] for each in self._index())
        if recorded != indexed:
            yield f"there are records of {recorded}, and the index has {indexed}"

    def _blobs(self) -> Iterator[str]:
        place = os.path.join(self._shim.root, "images", "blobs", "sha256")
        for name in os.listdir(place):
            with open(os.path.join(place, name), "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if ".new-" not in name and digest != name:
                yield f"the blob {name} has the digest {digest}"

    def _record_faults(self) -> Iterator[str]:
        named = [(each["annotations"]["tweed-shim.reference"], each["digest"]) for each in self._index()]
        for record in self.records():
            if (record["reference"], record["digest"]) not in named:
                yield f"the record of {record['reference']} is not in the index"
            manifest = self._blob(record["digest"])
            for blob in (manifest["config"], *manifest["layers"]):
                if not os.path.exists(self._blob_path(blob["digest"])):
                    yield f"the blob {blob['digest']} of a recorded image is missing"

    def _blob_path(self, digest: str) -> str:
        return os.path.join(self._shim.root, "images", "blobs", *digest.split(":"))

    def _blob(self, digest: str) -> Any:
        with open(self._blob_path(digest), "rb") as file:
            return json.load(file)

    def _index(self) -> list[dict[str, Any]]:
        with open(os.path.join(self._shim.root, "images", "index.json"), "rb") as file:
            manifests: list[dict[str, Any]] = json.load(file)["manifests"]
            return manifests

    def records(self) -> list[dict[str, Any]]:
        place = os.path.join(self._shim.root, "images", "references")
        found = []
        for name in os.listdir(place):
            if name.endswith(".json"):
                with open(os.path.join(place, name), "rb") as file:
                    found.append(json.load(file))
        return found

    def trees(self) -> list[str]:
        return os.listdir(os.path.join(self._shim.root, "rootfs"))

    def tree_state(self, name: str) -> object:
        """The kinds, sizes and owners of all files of an unpacked image."""
        directory = os.path.join(self._shim.root, "rootfs", name)
        with open(os.path.join(directory, "image.json"), "rb") as file:
            about = json.load(file)
        found = {}
        for path, directories, names in os.walk(os.path.join(directory, "rootfs")):
            for name in (*directories, *names):
                file_state = os.lstat(os.path.join(path, name))
                found[os.path.relpath(os.path.join(path, name), directory)] = (
                    file_state.st_mode,
                    file_state.st_uid,
                    file_state.st_size if name in names else 0,
                )
        return about, found


class CloudExamination(Examination):
    """Looks at the cloud `default` and its interaction `default` as well.

    written_files: how many files, all of one value, an image writes as a configuration and as an interaction's output.
    """

    def __init__(self, shim: Shim, written_files: int) -> None:
        super().__init__(shim)
        self._written_files = written_files

    def store(self) -> Iterator[str]:
        yield from super().store()
        for what in (self.configuration, self.interaction):
            if (value := what()) and value.startswith("mixed"):
                yield value
        if self.configuration() is None:
            yield "the cloud's configuration is gone"

    def tidy(self) -> Iterator[str]:
        yield from super().tidy()
        for path, directories, names in os.walk(os.path.join(self._shim.root, "clouds")):
            for name in (*directories, *names):
                if name.startswith("draft-") or ".new-" in name:
                    yield f"{os.path.join(path, name)} is left"
            generations = [name for name in directories if name.isdigit()]
            if len(generations) > 1:
                yield f"{path} has the generations {generations}"
        if len(self.records()) != len(self.whole):
            yield f"there are {len(self.records())} records of {len(self.whole)} images"

    def configuration(self) -> str | None:
        return self._written("config")

    def interaction(self) -> str | None:
        value = self._written("interactions/default")
        if value is None or value.startswith("mixed"):
            return value
        place = os.path.join(self._shim.root, "clouds", "default", "interactions", "default", "current")
        with open(os.path.join(place, "record.json"), "rb") as file:
            environment = json.load(file)["environment"]
        return value if environment == {"VALUE": value} else f"mixed: {environment} and files of {value}"

    def _written(self, name: str) -> str | None:
        """The one value of all the files of the generation in force; `mixed` and why where it is not one."""
        place = os.path.join(self._shim.root, "clouds", "default", name, "current")
        if not os.path.lexists(place):
            return None
        values = []
        for file_name in os.listdir(os.path.join(place, "data")):
            with open(os.path.join(place, "data", file_name), encoding="utf-8") as file:
                values.append(file.read().strip())
        if len(values) != self._written_files or len(set(values)) != 1:
            return f"mixed: {name} has {len(values)} files with the values {sorted(set(values))}"
        return values[0]


def unfinished_work(root: str) -> Iterator[str]:
    """Yield the paths of what only work in progress leaves in a store."""
    for name in ("tmp", "scratch"):
        yield from (os.path.join(root, name, each) for each in os.listdir(os.path.join(root, name)))
    for path, directories, names in os.walk(root):
        for name in (*directories, *names):
            if name.startswith("draft-") or ".new-" in name:
                yield os.path.join(path, name)
