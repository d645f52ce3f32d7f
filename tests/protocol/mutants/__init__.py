"""Breaks the core on purpose, one promise at a time, and checks that a test here notices.

    PYTHONPATH=layers/act_one .venv/bin/python -m tests.protocol.mutants [--by-chance] [WORD …]

WORDs choose the mutants whose names hold one. A mutant replaces one function, method or constant in
a process of its own, in which its killer must fail. Exits with 1 if a mutant survives. With
``--by-chance`` only the histories that hypothesis generates are tried.

The modules are areas: ``core`` has what the histories notice, ``facts`` what is read and believed,
``ways_in`` requests and folders, ``ways_out`` events and webhooks, ``strangers`` the bounds on what
others send, ``erasures`` erasures, ``operations`` the sweep, restores and the clients of S3,
``money`` budgets, clients, pauses, batches and retries, ``releases`` rows of newer code.
"""

from tests.protocol.mutants import (
    core,
    erasures,
    facts,
    money,
    operations,
    releases,
    strangers,
    ways_in,
    ways_out,
)
from tests.protocol.mutants.registry import MUTANTS, Mutant

__all__ = [
    "MUTANTS",
    "Mutant",
    "core",
    "erasures",
    "facts",
    "money",
    "operations",
    "releases",
    "strangers",
    "ways_in",
    "ways_out",
]
