"""What all tests share: Lambda's environment, a temporary folder, and who runs which file."""

import gc
import os
import shutil
import tempfile
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "ActOne")

TESTS = Path(__file__).parent
CHAINS = (
    (
        "e2e/test_transfers.py",
        "e2e/test_events_out.py",
        "e2e/test_requests.py",
        "e2e/test_strangers.py",
    ),
    ("e2e/test_incoming.py", "e2e/test_ways_in.py", "e2e/test_erasure.py"),
    (
        "e2e/test_webhooks.py",
        "e2e/test_consent.py",
        "e2e/test_callback_api.py",
        "e2e/test_organizations.py",
    ),
    ("e2e/test_acting.py", "e2e/test_reading.py", "e2e/test_commands.py", "e2e/test_watching.py"),
    ("e2e/test_operations.py", "crashes/test_crashes.py"),
    (
        "e2e/test_description.py",
        "e2e/test_clients.py",
        "e2e/test_cometapi_clients.py",
        "e2e/test_edges.py",
    ),
    ("e2e/test_deployed_simulator.py",),
)
"""Files that deploy stacks. They mostly wait, so each chain keeps one worker busy and the other
workers have the cores. A chain starts at once, because it takes as long as everything else; the
last, which has stacks of its own, goes to the first worker that is free."""
LONG = (
    "unit/lifecycle/test_listing.py",
    "unit/net/test_downloads.py",
    "media/test_files.py",
    "package/test_layers.py",
    "package/test_release.py",
    "media/test_hostile.py",
    "unit/webhooks/test_queue.py",
    "protocol/test_protocol.py",
    "unit/webhooks/test_delivery.py",
)
"""Files that take ten seconds and more: started early, so that no worker is left with one."""
_FIRST = {file: number for number, file in enumerate((*(f for c in CHAINS for f in c), *LONG))}
_CHAIN_OF = {f"tests/{file}": f"chain {n}" for n, chain in enumerate(CHAINS) for file in chain}


class ByFile(LoadScopeScheduling):
    """Gives each worker whole files, and the files of a chain to the same worker."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return _CHAIN_OF.get(file, file)


def pytest_configure(config):
    """Keep all temporary files in one folder, which goes with the run: sam leaves some behind."""
    if hasattr(config, "workerinput"):
        return
    folder = tempfile.mkdtemp(prefix="act-one-tests-")
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_collection_finish():
    """Keep Python from looking for garbage among 8,000 tests again and again."""
    gc.freeze()
    gc.set_threshold(20_000)


def pytest_xdist_make_scheduler(config, log):
    config.option.loadscopereorder = False  # the order is below
    return ByFile(config, log)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: _FIRST.get(str(item.path.relative_to(TESTS)), len(_FIRST)))
