"""Clients of CometAPI's Act-One route, as its users write them from its documentation.

They import nothing of this project and know nothing of it. One reads the numbers of the feed's
legacy form, one the words of the gateway's wrapper, one waits for the callback.
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import requests

TIMEOUT = 60


class TransferError(Exception):
    """The provider refused a transfer, or it failed."""


class TaskNotExistError(TransferError):
    """The provider doesn't know the task, or doesn't know it yet."""


class PollingClient:
    """Creates a task, polls the feed until its status is a number that ends, downloads."""

    def __init__(self, base_url, headers, poll_seconds=1.0):
        self.base_url = base_url
        self.session = requests.Session()
        self.session.headers.update(headers)
        self.poll_seconds = poll_seconds

    def post(self, path, body):
        reply = self.session.post(f"{self.base_url}{path}", json=body, timeout=TIMEOUT)
        document = reply.json()
        if "task_not_exist" in (document.get("code"), document.get("msg")):
            raise TaskNotExistError(document)
        return reply, document

    def create(self, video, image, callback_url):
        body = {"video": video, "image": image, "callback_url": callback_url}
        reply, document = self.post("/runway/pro/act_one", body)
        if reply.status_code != 200 or document.get("code") != 200:
            raise TransferError(document.get("msg") or document["error"]["message"])
        assert document["msg"] == "success"
        assert isinstance(document["exec_time"], int | float)
        return document["data"]["task_id"]

    def feed(self, task_id):
        reply, document = self.post("/runway/feed", {"task_id": task_id})
        assert reply.status_code == 200
        assert document["code"] == 200
        return document["data"]

    def wait(self, task_id, seconds=120):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                task = self.feed(task_id)
            except TaskNotExistError:
                time.sleep(self.poll_seconds)
                continue
            if task["status"] == "2":
                raise TransferError(task["msg"])
            if task["status"] == "3" and task["video_url"] is not None:
                return task
            time.sleep(self.poll_seconds)
        raise TimeoutError(task_id)

    def download(self, url):
        reply = requests.get(url, timeout=TIMEOUT)
        reply.raise_for_status()
        return reply.content

    def transfer(self, video, image, callback_url="https://example.com/webhook"):
        return self.wait(self.create(video, image, callback_url))


class WrapperClient(PollingClient):
    """Reads the gateway's wrapper: words for the status, the upstream's object in `data.data`."""

    def feed(self, task_id):
        _, document = self.post("/runway/feed", {"task_id": task_id})
        assert document["code"] == "success"
        return document["data"]

    def wait(self, task_id, seconds=120):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                task = self.feed(task_id)
            except TaskNotExistError:
                time.sleep(self.poll_seconds)
                continue
            assert 0 <= int(task["progress"].rstrip("%")) <= 100
            if task["status"] == "FAILURE":
                raise TransferError(task["fail_reason"])
            if task["status"] == "SUCCESS":
                upstream = task["data"]
                return {**task, "video_url": upstream["output"][0]}
            time.sleep(self.poll_seconds)
        raise TimeoutError(task_id)


class CallbackClient(PollingClient):
    """Doesn't poll: receives the callback, and downloads what it names."""

    def __enter__(self):
        received = self.received = {}
        changed = self.changed = threading.Condition()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.end_headers()
                task = json.loads(body)
                with changed:
                    received[task["task_id"]] = task
                    changed.notify_all()

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def transfer(self, video, image):
        port = self.server.server_address[1]
        task_id = self.create(video, image, f"http://127.0.0.1:{port}/done")
        with self.changed:
            if not self.changed.wait_for(lambda: task_id in self.received, 120):
                raise TimeoutError(task_id)
        task = self.received[task_id]
        if task["status"] != "3":
            raise TransferError(task["msg"])
        return task
