"""(f): whether a store that has seen much is slower than an empty one."""

import json
import os

from benchmarks import images, warm
from benchmarks.figures import Figure, take_turns, timed
from benchmarks.setting import Setting, own_directory, serving

ROUNDS = 30
IMAGES, CLOUDS, RUNS = 1_000, 10_000, 100_000
FILL = os.path.join(os.path.dirname(__file__), "fill.py")


def stores(setting: Setting) -> list[Figure]:
    """`exec setup` with a full store beside `exec setup` with an empty one."""
    account = setting.account
    with (
        serving(setting, images.SMALL) as reference,
        own_directory(account) as empty_place,
        own_directory(account) as full_place,
    ):
        empty = warm.make_warm(setting, empty_place, reference)
        full = warm.make_warm(setting, full_place, reference)
        task = {
            "root": os.path.join(full_place.directory, "store"),
            "reference": reference,
            "images": IMAGES,
            "clouds": CLOUDS,
            "runs": RUNS,
        }
        with open(FILL, "rb") as file:
            full_place.output([setting.python, "-I", "-", json.dumps(task)], stdin=file.read())
        seconds = take_turns(
            setting.rounds or ROUNDS, {"full": timed(full.setup), "empty": timed(empty.setup)}
        )
    what = f"{IMAGES} images, {CLOUDS} clouds, {RUNS} runs / none of them"
    return [Figure(what, seconds["full"], seconds["empty"], most=1.1)]
