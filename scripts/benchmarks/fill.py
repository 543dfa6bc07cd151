"""Runs inside of the installed package, for case (f): fills a store as much use would.

Images are recorded by the package's own functions. Clouds and runs are copies of the one that is there, made by the
package; of the runs only as many are there as the store keeps.
"""

import json
import os
import shutil
import sys
from typing import Any

from tweed_shim.base.records import replace
from tweed_shim.image import store
from tweed_shim.image.layout import Layout
from tweed_shim.image.manifest import Descriptor
from tweed_shim.runtime import runs


def fill_images(root: str, reference: str, count: int) -> None:
    record = store.look_up(root, reference, "")
    assert record is not None
    entries = Layout(os.path.join(root, "images"), durable=False)
    for number in range(count):
        name = f"registry.example/team-{number % 10}/image-{number}:latest"
        digest = f"sha256:{number:064x}"
        entries.put_entry(name, "", Descriptor("application/vnd.oci.image.manifest.v1+json", digest, 1000))
        store.write_record(root, replace(record, reference=name, top=digest, digest=digest))
        shutil.copytree(
            store.tree_path(root, record.digest),
            store.tree_path(root, digest),
            ignore=shutil.ignore_patterns("rootfs"),
        )


def fill_clouds(root: str, count: int) -> None:
    for number in range(count):
        shutil.copytree(
            os.path.join(root, "clouds", "default"),
            os.path.join(root, "clouds", f"cloud-{number}"),
            symlinks=True,
        )


def fill_runs(root: str, count: int) -> None:
    place = os.path.join(root, "runs")
    [first, *_] = (name for name in os.listdir(place) if name.isdigit())
    for number in range(count - runs.MOST_RUNS + 1, count + 1):
        shutil.copytree(os.path.join(place, first), os.path.join(place, str(number)))
    with open(os.path.join(place, "lock"), "r+b") as counter:
        counter.write(b"%-31d\n" % count)


def main(task: dict[str, Any]) -> None:
    fill_images(task["root"], task["reference"], task["images"])
    fill_clouds(task["root"], task["clouds"])
    fill_runs(task["root"], task["runs"])


main(json.loads(sys.argv[1]))
