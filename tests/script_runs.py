"""Runs the scripts as an account, and reads the image layouts that they make."""

import json
import os
import subprocess
import tarfile
from collections.abc import Mapping
from contextlib import suppress

from accounts import Account
from installed import SYSTEM_PATH


def run_as(
    account: Account, *command: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command as an account in a clean environment; returns what it wrote."""
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        cwd="/",
        env={"PATH": SYSTEM_PATH, "HOME": account.home, **(env or {})},
        check=False,
    )


def index(layout: str) -> dict[str, str]:
    """The digest of each tag."""
    with open(os.path.join(layout, "index.json"), encoding="utf-8") as file:
        manifests = json.load(file)["manifests"]
    return {each["annotations"]["org.opencontainers.image.ref.name"]: each["digest"] for each in manifests}


def _blob(layout: str, digest: str) -> str:
    return os.path.join(layout, "blobs", *digest.split(":"))


def content(layout: str) -> dict[str, str]:
    """What the only layer of an image holds, by paths: the text of a file, the target of a link, "" for the rest."""
    with open(_blob(layout, index(layout)["latest"]), encoding="utf-8") as manifest:
        [layer] = json.load(manifest)["layers"]
    entries = {}
    # "umoci insert" (0.4.7) ends the layer with the last file's last byte, which tarfile reports after that file.
    with tarfile.open(_blob(layout, layer["digest"])) as archive, suppress(tarfile.ReadError):
        for member in archive:
            file = archive.extractfile(member) if member.isreg() else None
            text = file.read().decode("latin-1") if file else member.linkname
            entries[member.name.strip("/")] = text
    return entries
