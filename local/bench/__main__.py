"""Runs the benchmarks, or those of `cold-start`, `latency` and `copies` that are named."""

import sys

from local.bench.cold_start import cold_starts
from local.bench.copies import copies
from local.bench.latency import latencies

BENCHMARKS = {"cold-start": cold_starts, "latency": latencies, "copies": copies}

for name in sys.argv[1:] or BENCHMARKS:
    BENCHMARKS[name]()
    print()
