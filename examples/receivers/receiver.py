"""A receiver of webhooks in Python.

    pip install standardwebhooks
    WEBHOOK_SECRET=whsec_… python receiver.py [PORT]

A webhook may come twice and out of order. Verify it, answer 2xx within 15 seconds, and keep for
each task only what has a higher `version` than what you have.
"""

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook

webhook = Webhook(os.environ["WEBHOOK_SECRET"])
versions: dict[str, int] = {}  # yours lie in a database


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 to webhooks of the stack, 400 to everything else."""

    def do_POST(self) -> None:
        """Take one webhook."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            # Signature and time (5 minutes either way), over the very bytes that came.
            told = webhook.verify(body, dict(self.headers.items()))
        except Exception as error:  # noqa: BLE001 - whatever is odd about it, it is not ours
            self._answer(400, f"refused: {error}")
            return
        task = told["data"]
        if task["version"] > versions.get(task["id"], 0):
            versions[task["id"]] = task["version"]
            print(told["type"], task["id"], f"version {task['version']}", flush=True)
        self._answer(204)

    def _answer(self, status: int, text: str = "") -> None:
        self.send_response(status)
        if text:
            self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8080
    server = ThreadingHTTPServer(("127.0.0.1", port), Receiver)
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
