"""Submit, wait and download with a client that openapi-python-client generated from the document.

Runs in an environment of its own: generated_client.py URL KEY VIDEO IMAGE FILE
"""

import hashlib
import sys
import time
from pathlib import Path

import httpx
from act_one_client import AuthenticatedClient
from act_one_client.api.tasks import cancel_task, get_task, list_tasks, submit_task
from act_one_client.api.uploads import open_upload
from act_one_client.api.webhooks import get_webhook_secret
from act_one_client.models import (
    ListTasksStatusItem,
    Problem,
    Task,
    TransferOfUrls,
    TransferOfUrlsMetadata,
    Upload,
)

SECONDS = 120


def main(url, key, video, image, file):
    client = AuthenticatedClient(
        base_url=url, token=key, prefix="", auth_header_name="x-api-key", timeout=60
    )
    transfer = TransferOfUrls(
        video=video, image=image, metadata=TransferOfUrlsMetadata.from_dict({"order": "42"})
    )

    reply = submit_task.sync_detailed(client=client, body=transfer, idempotency_key="generated-1")
    task = reply.parsed
    assert isinstance(task, Task), reply
    assert reply.status_code == 202
    assert reply.headers["location"] == f"tasks/{task.id}"
    again = submit_task.sync_detailed(client=client, body=transfer, idempotency_key="generated-1")
    assert (again.parsed.id, again.headers["idempotent-replayed"]) == (task.id, "true")

    ends_at = time.monotonic() + SECONDS
    while not task.done:
        assert time.monotonic() < ends_at, task
        task = get_task.sync(task.id, client=client, wait=10)
    page = list_tasks.sync(client=client, status=[ListTasksStatusItem.SUCCEEDED], limit=5)
    assert task.id in {listed.id for listed in page.tasks}
    assert (task.status, task.metadata["order"]) == ("succeeded", "42")

    stored = task.output.video
    with httpx.stream("GET", stored.url) as download:
        Path(file).write_bytes(download.read())
    content = Path(file).read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (stored.bytes_, stored.sha256)

    ended = cancel_task.sync(task.id, client=client)
    assert isinstance(ended, Problem)
    assert (ended.status, ended.code) == (409, "not-cancelable")
    refused = submit_task.sync(
        client=client, body=TransferOfUrls(video="ftp://example.com/a.mp4", image=image)
    )
    assert (refused.status, refused.code, refused.field) == (400, "url-scheme", "video")
    assert isinstance(open_upload.sync(client=client), Upload)
    assert get_webhook_secret.sync(client=client).current.startswith("whsec_")


if __name__ == "__main__":
    main(*sys.argv[1:])
