"""What the Python sides of `make bench-peers` share: the work they are given as
JSON on their command line, and the conversation with bench/peers.lua.

A side first prints its name as a line of JSON. Then each line of its input is a
number of runs; it makes them, and answers with the seconds that they took.
"""

import json
import resource
import sys
import time
from types import SimpleNamespace


def given_work():
    return SimpleNamespace(**json.loads(sys.argv[1]))


def peak_resident_mb():
    """The largest part of memory that the process has had so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def say(**row):
    print(json.dumps(row), flush=True)


def serve(run):
    """Answers each line of the input; `run` makes so many runs."""
    for line in sys.stdin:
        begin = time.perf_counter()
        run(int(line))
        seconds = time.perf_counter() - begin
        say(seconds=seconds, peak_resident_mb=peak_resident_mb())
