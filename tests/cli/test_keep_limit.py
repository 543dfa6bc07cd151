"""`--keep-limit` bounds the output of configure and setup: an image that writes more is killed."""

import os

import pytest

from installed import Result, Shim
from script_images import METADATA, ScriptImage

# Ways to fill $OUT_CONFIG with 8 MiB, which then wait to be ended.
WAYS = {
    "one file": "head -c 8m /dev/zero > $OUT_CONFIG/file",
    "many files": "for n in $(seq 64); do head -c 128k /dev/zero > $OUT_CONFIG/$n; done",
    "deep down": "cd $OUT_CONFIG; for n in $(seq 40); do d=$(printf %0200d $n); mkdir $d; cd $d; done; "
    "head -c 8m /dev/zero > file",
    "a file without a name": "exec 3> $OUT_CONFIG/file; rm $OUT_CONFIG/file; head -c 8m /dev/zero >&3",
}


def image(script_image: ScriptImage, script: str) -> str:
    return script_image(f"case $1 in metadata) {METADATA};; *) {script};; esac")


def configure(shim: Shim, reference: str, *options: str) -> Result:
    return shim.run("exec", reference, "configure", *options, stdin=b"{}")


@pytest.mark.parametrize("way", WAYS)
def test_an_image_that_writes_more_than_the_keep_limit_is_killed_and_nothing_is_stored(
    shim: Shim, script_image: ScriptImage, way: str
) -> None:
    done = configure(shim, image(script_image, f"{WAYS[way]}; sleep 1000"), "--keep-limit", "4m")
    assert done.code == 137, done
    line = done.err.decode().splitlines()[-1]
    assert "was ended because it wrote more than 4 MiB, or 262144 files, to keep" in line
    assert "allow it more with --keep-limit" in line
    assert shim.run("clouds").out.count(b"\n") <= 1
    assert shim.run("gc").code == 0
    assert os.listdir(os.path.join(shim.root, "clouds")) == []


def test_an_image_that_exits_above_the_keep_limit_fails(shim: Shim, script_image: ScriptImage) -> None:
    done = configure(
        shim, image(script_image, "head -c 64k /dev/zero > $OUT_CONFIG/f"), "--keep-limit", "32k"
    )
    assert done.code == 137, done
    assert b"more than 32 KiB" in done.err


def test_output_within_the_keep_limit_is_stored_and_the_limit_can_be_raised(
    shim: Shim, script_image: ScriptImage
) -> None:
    reference = image(script_image, "head -c 3m /dev/zero > $OUT_CONFIG/f")
    assert configure(shim, reference, "--keep-limit", "4m").code == 0
    assert configure(shim, reference).code == 0
