"""A receiver of webhooks in Python.

    pip install standardwebhooks
    WEBHOOK_SECRET=whsec_… python receiver.py [PORT]

The secret is that of your API key: GET /v1/webhook-secret shows it.

A webhook may come twice and out of order. Verify it, answer 2xx within 15 seconds, and keep for
each task only what has a higher `version` than what you have.
"""

import base64
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook

MAX_BODY_BYTES = 65_536
LEAST_KEY_BYTES = 24


def webhook_from(secret: str) -> Webhook:
    """Build the verifier, or end the program: with an empty key, every signature is easily made."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if len(key) < LEAST_KEY_BYTES:
        sys.exit(
            f"WEBHOOK_SECRET must be whsec_ and base64 of at least {LEAST_KEY_BYTES} bytes: "
            "set it to what GET /v1/webhook-secret shows"
        )
    return Webhook(secret)


webhook = webhook_from(os.environ.get("WEBHOOK_SECRET", ""))
versions: dict[str, int] = {}  # keep yours in a database


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 to webhooks of the stack, 4xx to everything else."""

    timeout = 10

    def do_POST(self) -> None:
        """Take one webhook."""
        length = self.headers.get("Content-Length") or ""
        if not (length.isascii() and length.isdigit()):
            self._answer(411, "refused: Content-Length is missing")
            return
        if int(length[:12]) > MAX_BODY_BYTES:
            self._answer(413, f"refused: the body is larger than {MAX_BODY_BYTES} bytes")
            return
        body = self.rfile.read(int(length))
        try:
            # Signature and time (5 minutes either way), over the exact bytes of the body.
            told = webhook.verify(body, dict(self.headers.items()))
        except Exception as error:  # noqa: BLE001 - an invalid request of any kind
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
