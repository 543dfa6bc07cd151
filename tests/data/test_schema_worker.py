"""The process that checks schemas: whose fault its end is, and its limit on memory."""

import json
import os
import signal

import pytest

from tweed_shim.data import schema_worker
from tweed_shim.errors import ContractError, HostError

SCHEMA = {"type": "string", "pattern": "^a*$"}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_killed_schema_worker_is_not_blamed_on_the_schema(number: signal.Signals) -> None:
    with schema_worker.SchemaWorker() as worker:
        worker.start()
        while worker._process.pid is None:
            assert worker._process.hear()
        os.kill(worker._process.pid, number)
        with pytest.raises(HostError, match=f"was ended by {number.name}; run it again"):
            worker.faults(SCHEMA, b'"a"', what="the schema")
        assert worker.faults(SCHEMA, b'"b"', what="the schema") != []


def test_a_schema_that_needs_too_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    smaller = schema_worker._SERVE.replace(
        "schema_worker.serve", "schema_worker._MAX_MEMORY = 200 << 20; schema_worker.serve"
    )
    assert smaller != schema_worker._SERVE
    monkeypatch.setattr(schema_worker, "_SERVE", smaller)
    schema = {"type": "string", "pattern": "^((a)|(b))*$"}
    value = json.dumps("a" * 4_000_000).encode()
    with (
        schema_worker.SchemaWorker() as worker,
        pytest.raises(ContractError, match="GiB of memory; ask its author"),
    ):
        worker.faults(schema, value, what="the schema", schema_checked=True)
