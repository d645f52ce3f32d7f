"""Fuzz everything that reads strangers' bytes.

    python -m tools.fuzz --seconds 60 [--only NAME …] [--seed N]

Prints for each target how many inputs it took, how many faults it had and its slowest input. Each
fault is saved in `.local/fuzz`, with its traceback beside it; exit status 1 if there is one.
"""

import argparse
import hashlib
import resource
import sys
import tempfile
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from random import Random, SystemRandom
from time import monotonic, process_time

from tools.fuzz.mutate import mutated
from tools.fuzz.targets import ROOT, targets

FAULTS = ROOT / ".local/fuzz"
MAX_CPU_SECONDS = 2.0
TURN_SECONDS = 1.0


@dataclass
class Tally:
    """What came of a target so far."""

    inputs: int = 0
    declared: int = 0
    faults: set[str] = field(default_factory=set)
    slowest_ms: float = 0.0


def run_one(name, target, data, tally):
    """Run a target on one input and count what came of it."""
    began = process_time()
    fault = None
    try:
        target.take(data)
    except target.declared:
        tally.declared += 1
    except Exception as error:  # noqa: BLE001 - any other exception is what is looked for
        fault = error
    seconds = process_time() - began
    tally.inputs += 1
    tally.slowest_ms = max(tally.slowest_ms, seconds * 1_000)
    if fault is not None:
        last = traceback.extract_tb(fault.__traceback__)[-1]
        where = f"{type(fault).__name__} in {Path(last.filename).name}:{last.lineno}"
        save(name, where, data, "".join(traceback.format_exception(fault)), tally)
    elif seconds > MAX_CPU_SECONDS:
        save(name, f"{MAX_CPU_SECONDS:g} s", data, f"{seconds:.2f} s of CPU\n", tally)


def save(name, where, data, text, tally):
    """Save the first input of each fault."""
    if where in tally.faults:
        return
    tally.faults.add(where)
    FAULTS.mkdir(parents=True, exist_ok=True)
    path = FAULTS / f"{name.replace(' ', '-')}-{hashlib.sha256(data).hexdigest()[:12]}"
    path.with_suffix(".bin").write_bytes(data)
    path.with_suffix(".txt").write_text(text)
    print(f"{name}: {where}, saved as {path}.bin", flush=True)


def fuzz(chosen, seconds, random):
    """Give the targets turns of a second until the time is over; return their tallies."""
    tallies = {name: Tally() for name in chosen}
    ends_at = monotonic() + seconds
    for name, target in chosen.items():
        for sample in target.samples:
            run_one(name, target, sample, tallies[name])
    while monotonic() < ends_at:
        for name, target in chosen.items():
            turn_ends_at = min(ends_at, monotonic() + TURN_SECONDS)
            while monotonic() < turn_ends_at:
                sample = random.choice(target.samples)
                data = mutated(sample, target.samples, target.words, random)
                run_one(name, target, data, tallies[name])
    return tallies


def main(arguments):
    """Run the fuzzer; 1 if it found a fault."""
    parser = argparse.ArgumentParser(prog="tools.fuzz", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--only", nargs="*", metavar="NAME", help="the targets to run")
    parser.add_argument("--seed", type=int, default=None, help="repeats a run")
    asked = parser.parse_args(arguments)
    seed = SystemRandom().randrange(2**32) if asked.seed is None else asked.seed
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        known = targets(Path(folder))
    unknown = set(asked.only or ()) - known.keys()
    if unknown:
        parser.error(f"no such target: {', '.join(unknown)}; there are {', '.join(known)}")
    chosen = {name: known[name] for name in asked.only or known}
    tallies = fuzz(chosen, asked.seconds, Random(seed))  # noqa: S311 - to be repeated
    print(f"{'target':<16}{'inputs':>10}{'declared':>10}{'faults':>8}{'slowest':>11}")
    for name, one in tallies.items():
        faults = len(one.faults)
        print(
            f"{name:<16}{one.inputs:>10,}{one.declared:>10,}{faults:>8}{one.slowest_ms:>8,.0f} ms"
        )
    total = sum(one.inputs for one in tallies.values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1_024
    print(f"{total:,} inputs; peak memory {peak:,} MB")
    return 1 if any(one.faults for one in tallies.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
