from concurrent.futures import ThreadPoolExecutor

import requests

from tests.simulator.caller import Caller


def whole_task(provider, callbacks, number):
    """Run one task; returns its SHA-256 as recorded and as downloaded."""
    caller = Caller(provider, callbacks)
    shape = ("wrapped", "legacy")[number % 2]
    task_id, provider_task_id = caller.accepted(seconds=0.3, feed=shape)
    callback = callbacks.wait_for(task_id, seconds=10)[0].json()
    assert callback["task_id"] == provider_task_id
    url = caller.ended(provider_task_id)["video_url"]
    assert requests.get(url, timeout=10).status_code == 200
    return task_id, caller.task(provider_task_id)["media"]["result.mp4"]["sha256"]


def test_fifty_tasks_run_concurrently(provider, callbacks):
    with ThreadPoolExecutor(50) as pool:
        results = list(pool.map(lambda number: whole_task(provider, callbacks, number), range(50)))

    bill = provider.bill()
    assert all(bill["by_callback"][task_id] == 1 for task_id, _ in results)
    assert len({digest for _, digest in results}) == 50
