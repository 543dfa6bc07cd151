"""The plan of a run: what the shim tells process 1 of a sandbox (sandbox.py), as one JSON object.

Only type checkers import this module: the processes themselves pass dictionaries, and a warm run saves the import.
"""

from typing import TypedDict


class InputVolume(TypedDict):
    """The read-only directory in memory: `files` by name, each letter a byte, and the paths of `host_files`."""

    files: dict[str, str]
    host_files: dict[str, str]


class OutputVolume(TypedDict):
    """The directory in memory that the container writes; `volumes.copy_out` copies from it to `directory`."""

    directory: str
    names: list[str]
    every: bool
    limit: int


class DiskLimit(TypedDict):
    """A limit for writable directories of the host, which hold `limit` bytes and `files` files together at most."""

    directories: dict[str, str]  # by their destinations in the container
    limit: int
    files: int
    kept: bool  # whether they may hold something before the run


class WritableDirectory(TypedDict):
    """A directory of the host that belongs to the container's user. `kept`: as in Mount."""

    directory: str
    destination: str  # in the container, for messages
    kept: bool


class ReadableDirectory(TypedDict):
    """A directory of the host that the container's user can read, shown at `name` in the bundle."""

    directory: str
    destination: str  # in the container, for messages
    name: str
    copied: bool  # process 1 finds out, when it looks whose the files are


class RuntimeOptions(TypedDict):
    """The options of the OCI runtime that depend on the host: its own, and those of its command `run`."""

    runtime_options: list[str]
    run_options: list[str]


class Plan(RuntimeOptions):
    """A run, described for process 1. Paths are absolute, sizes are bytes."""

    id: str
    userns: bool
    terminal: bool  # whether the container has a terminal, which is handed over by descriptor 1, a socket (session.py)
    stdin: bool  # whether the container reads descriptor 0; without it the container reads nothing
    joined: bool  # whether its stderr is its stdout
    bundle: str  # an empty directory that the private tmpfs is mounted on: the runtime's bundle
    bundle_size: int
    lower: str  # the unpacked image
    overlay: str  # where its upper layer is: "tmpfs", a directory on disk, or "" for a read-only root
    config: str  # the text of config.json; its root path is "rootfs"
    mount_points: list[
        tuple[str, str]
    ]  # the destinations of its mounts in their order, each with the mount's type
    top: tuple[int, int]  # uid and gid of the container's root
    user: tuple[int, int]  # uid and gid of its user
    stored_user: tuple[int, int]  # the same in the store, before its ids are shifted
    hosts: str  # the host's file that BUNDLE/hosts, the container's /etc/hosts, begins with, or ""
    sys: bool  # whether BUNDLE/sys is the host's /sys, read-only
    inputs: InputVolume | None  # BUNDLE/inputs, for the user to read
    outputs: OutputVolume | None  # BUNDLE/outputs, for the user to write
    writable: list[
        WritableDirectory
    ]  # synced before success is reported, and before a failure is where they are kept
    readable: list[ReadableDirectory]  # see shared_directories.py
    disk_limits: list[DiskLimit]  # of the `writable` directories; see disk_usage.py
    runtime: str  # the program
    shift: list[str]  # the command that shows the store with other ids (idmapped_mount.py), or nothing
    pasta: list[str]  # the command that connects the network namespace `BUNDLE/netns` (pasta.py), or nothing
    keep: str  # the directory of the host that gets what the run wrote (kept_files.py), or ""
    cgroup: str  # below each cgroup hierarchy, or "" where none can be made
