"""(spiff): how long a merge takes in a process, how that grows with the template, and what the import costs."""

import json
from statistics import median

from benchmarks.figures import Figure
from benchmarks.setting import Setting, own_directory

ROUNDS = 5
IMPORTS = 15
SIZES = (500, 1000, 2000, 4000)
MEASURED = 2000
# Each group has four nodes, one of them an expression; the stubs override a port, and a name with an expression.
MERGES = """
import json, sys, time
from tweed_shim import spiff

KINDS = (
    '"http://" name ":" port',
    "port + 1",
    "groups.g{before}.port * 2 - 1",
    "groups.g{before}.made || name",
    "merge || upper(name)",
    'port > 9000 ? "high" :join("-", name, port)',
    "sum[[1..3]|0|s,x|->s + x * port]",
    "lib.twice(port)",
)
GROUP = '''  g{number}:
    port: {port}
    name: name-{number}
    made: {made}
'''
STUBS = ("  g{number}:\\n    port: {number}\\n", '  g{number}:\\n    name: (( lib.prefix "name-{number}" ))\\n')


def texts(nodes):
    template = "lib:\\n  twice: (( |x|->x * 2 ))\\n  prefix: stub-\\ngroups:\\n"
    stubs = ["groups:\\n"] * 2
    for number in range(nodes // 4):
        expression = KINDS[number % len(KINDS)].format(before=max(number - 1, 0))
        made = json.dumps(f"(( {expression} ))")
        template += GROUP.format(number=number, port=8000 + number, made=made)
        if number % 10 == 0:
            stub = number // 10 % 2
            stubs[stub] += STUBS[stub].format(number=number)
    stubs[1] += "lib:\\n  prefix: stub-\\n"
    return template, *stubs


sizes, rounds = json.loads(sys.argv[1])
made = {size: texts(size) for size in sizes}
seconds = {size: [] for size in sizes}
spiff.merge(*made[sizes[0]])
for _ in range(rounds):
    for size in sizes:
        started = time.perf_counter()
        result = spiff.merge(*made[size])
        seconds[size].append(time.perf_counter() - started)
        assert len(result["groups"]) == size // 4
print(json.dumps([seconds[size] for size in sizes]))
"""
IMPORT = """
import time
started = time.perf_counter()
import tweed_shim.spiff
print(time.perf_counter() - started)
"""


def merging(setting: Setting) -> list[Figure]:
    """A template of 2,000 nodes, 500 of them expressions, and two stubs; and per node, beside the smallest one."""
    with own_directory(setting.account) as place:
        task = json.dumps([SIZES, setting.rounds or ROUNDS])
        seconds = dict(
            zip(SIZES, json.loads(place.output([setting.python, "-I", "-c", MERGES, task])), strict=True)
        )
    smallest = SIZES[0]
    per_node = {size: [each / size * 1e6 for each in seconds[size]] for size in SIZES}
    figures = [Figure(f"spiff.merge, {MEASURED:,} nodes", seconds[MEASURED], most=1.0)]
    for size in SIZES[1:]:
        what = f"spiff.merge per node, {size:,} / {smallest:,} nodes"
        figures.append(Figure(what, per_node[size], per_node[smallest], unit="µs", most=1.3))
    return figures


def importing(setting: Setting) -> list[Figure]:
    """`import tweed_shim.spiff`, in a new process each time."""
    with own_directory(setting.account) as place:
        command = [setting.python, "-I", "-c", IMPORT]
        place.run(command)
        seconds = [float(place.output(command)) for _ in range(setting.rounds or IMPORTS)]
    assert median(seconds) > 0
    return [Figure("import tweed_shim.spiff", seconds, most=0.040)]
