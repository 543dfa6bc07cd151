"""How an image was ended, and unusable output of it, is in the message, the record and the log."""

import json
import os
import stat
from typing import Any

import pytest

from installed import Result, Shim
from script_images import METADATA, ScriptImage

DEAF = f"case $1 in metadata) {METADATA} ;; check) trap '' TERM; while :; do sleep 1; done ;; esac"


def ready(shim: Shim, image: str) -> None:
    result = shim.run("exec", image, "configure", stdin=b"{}")
    assert result.code == 0, result


def newest(shim: Shim) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(shim.run("logs", "--json").out)[0]
    return record


def log(shim: Shim) -> Result:
    return shim.run("logs", str(newest(shim)["run"]))


def test_an_image_that_ignores_its_signal_is_killed_and_the_message_says_so(
    shim: Shim, script_image: ScriptImage
) -> None:
    image = script_image(DEAF)
    ready(shim, image)
    trace = os.path.join(os.path.dirname(shim.root), "trace.json")
    result = shim.run("exec", image, "check", "--timeout", "0.5", "--trace", trace)
    assert result.code == 124, result
    *_, asked, last = result.err.decode().splitlines()
    assert "was sent SIGTERM, and is killed if it does not end within 10 s" in asked
    assert (
        "took longer than 0.5 seconds and did not end within 10 s of SIGTERM; killed; 'tweed-shim logs"
        in last
    )
    record = newest(shim)
    assert (record["state"], record["killed"]) == ("timed out", "did not end within 10 s of SIGTERM")
    with open(trace, encoding="utf-8") as file:
        events = {event["name"]: event for event in json.load(file)["traceEvents"]}
    assert events["did not end within 10 s of SIGTERM; killed"]["dur"] >= 10e6


def test_an_image_that_ends_at_its_signal_is_not_reported_as_killed(
    shim: Shim, script_image: ScriptImage
) -> None:
    image = script_image(f"case $1 in metadata) {METADATA} ;; check) sleep 1000 ;; esac")
    ready(shim, image)
    result = shim.run("exec", image, "check", "--timeout", "0.5")
    assert result.code == 124, result
    assert b"took longer than 0.5 seconds and was ended; " in result.err
    assert newest(shim)["killed"] == ""


@pytest.mark.parametrize(
    ("operation", "options", "script"),
    [
        ("metadata", (), "metadata) echo 'no: contract' ;;"),
        ("setup", (), f"metadata) {METADATA} ;; setup) echo 'no: contract: at all' ;;"),
        ("setup", ("--env-stream", "stderr"), f"metadata) {METADATA} ;; setup) echo '- no: contract' >&2 ;;"),
    ],
)
def test_output_that_breaks_the_contract_is_in_the_log(
    shim: Shim, script_image: ScriptImage, operation: str, options: tuple[str, ...], script: str
) -> None:
    image = script_image(f"case $1 in {script} esac")
    if operation != "metadata":
        ready(shim, image)
    result = shim.run("exec", image, operation, *options)
    assert result.code == 125, result
    record = newest(shim)
    assert f"; 'tweed-shim logs {record['run']}' shows what it wrote" in result.err.decode()
    assert record["error"]
    assert b"no: contract" in log(shim).out
    path = os.path.join(shim.root, "runs", str(record["run"]), "log")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_a_long_result_is_killed_and_its_beginning_kept(shim: Shim, script_image: ScriptImage) -> None:
    image = script_image(f"case $1 in metadata) {METADATA} ;; setup) echo begin; yes ;; esac")
    ready(shim, image)
    result = shim.run("exec", image, "setup")
    assert result.code == 125, result
    assert b"MiB, which is no environment; it was killed, and 'tweed-shim logs" in result.err
    assert newest(shim)["killed"] == "wrote more than its result may be"
    said = log(shim).out
    assert said.startswith(b"[what it wrote as its result:]\nbegin\ny\n")
    assert said.endswith(b" bytes are missing here ...]\n")
    assert len(said) < 300_000


def test_what_a_failed_image_wrote_as_its_result_is_in_the_log(shim: Shim, script_image: ScriptImage) -> None:
    image = script_image(f"case $1 in metadata) {METADATA} ;; setup) echo 'no room'; exit 3 ;; esac")
    ready(shim, image)
    assert shim.run("exec", image, "setup").code == 3
    assert b"no room" in log(shim).out


def test_a_used_result_is_not_in_the_log(shim: Shim, script_image: ScriptImage) -> None:
    image = script_image(f"case $1 in metadata) {METADATA} ;; setup) echo 'PASSWORD: secret' ;; esac")
    ready(shim, image)
    assert shim.run("exec", image, "setup").code == 0
    result = log(shim)
    assert result.out == b""
    assert b"wrote nothing to its log" in result.err
