"""`--trace FILE` records where the time of a command goes."""

import json
import os
from itertools import pairwise
from typing import NamedTuple

from installed import Shim
from script_images import METADATA, ScriptImage


class Span(NamedTuple):
    name: str
    start: int
    end: int
    pid: int
    tid: int

    def holds(self, other: "Span") -> bool:
        return self.start <= other.start and other.end <= self.end

    def before(self, other: "Span") -> bool:
        return self.end <= other.start


def _spans(path: str) -> list[Span]:
    with open(path, encoding="utf-8") as file:
        trace = json.load(file)
    events = trace["traceEvents"]
    assert {event["ph"] for event in events} == {"X"}
    return [
        Span(event["name"], event["ts"], event["ts"] + event["dur"], event["pid"], event["tid"])
        for event in events
    ]


def _traced(shim: Shim, *arguments: str) -> list[Span]:
    path = os.path.join(os.path.dirname(shim.root), "trace.json")
    result = shim.run("--trace", path, *arguments)
    assert result.code == 0, result.err
    return _spans(path)


def test_a_trace_covers_the_run_and_its_spans_nest(shim: Shim, script_image: ScriptImage) -> None:
    image = script_image(f'[ "$1" != metadata ] || {METADATA}; [ "$1" != setup ] || echo "A: b"')
    shim.run("exec", image, "configure", stdin=b"{}")
    spans = _traced(shim, "exec", image, "setup")
    by_name = {span.name: span for span in spans}
    whole = by_name["tweed-shim"]
    steps = [by_name[name] for name in ("start", "imports", "resolve", "prepare", "run", "collect", "commit")]
    assert all(first.before(second) for first, second in pairwise(steps))
    assert all(whole.holds(span) for span in spans)
    inside = [by_name[name] for name in ("namespaces", "mounts", "runc", "program", "keep")]
    assert all(first.before(second) for first, second in pairwise(inside))
    assert all(by_name["run"].holds(span) for span in inside)
    assert {span.pid for span in steps} == {whole.pid}
    assert whole.pid not in {span.pid for span in inside}
    for span in spans:
        for other in spans:
            if span.tid == other.tid:
                apart = span.before(other) or other.before(span)
                assert apart or span.holds(other) or other.holds(span), (span, other)


def test_a_cold_image_s_steps_are_in_the_trace(shim: Shim, script_image: ScriptImage) -> None:
    spans = _traced(shim, "exec", script_image(METADATA), "metadata")
    resolve = next(span for span in spans if span.name == "resolve")
    steps = [span for span in spans if span.name in ("manifest", "fetch", "convert", "umoci")]
    assert {span.name for span in steps} == {"manifest", "fetch", "convert", "umoci"}
    assert all(resolve.holds(span) for span in steps)


def test_an_operation_that_fails_leaves_a_trace_too(shim: Shim, script_image: ScriptImage) -> None:
    path = os.path.join(os.path.dirname(shim.root), "trace.json")
    assert shim.run("exec", script_image("exit 3"), "metadata", "--trace", path).code == 3
    assert "program" in {span.name for span in _spans(path)}


def test_a_trace_that_cannot_be_written_is_refused_before_anything_is_done(
    shim: Shim, script_image: ScriptImage
) -> None:
    result = shim.run("--trace", "/proc/nowhere", "exec", script_image(METADATA), "metadata")
    assert result.code == 125
    assert b"the trace cannot be written to /proc/nowhere" in result.err
    assert not os.path.exists(shim.root)
