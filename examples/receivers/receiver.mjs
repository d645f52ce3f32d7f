// A receiver of webhooks in Node, with nothing to install.
//
//     WEBHOOK_SECRET=whsec_… node receiver.mjs [PORT]
//
// A webhook may come twice and out of order. Verify it, answer 2xx within 15 seconds, and keep for
// each task only what has a higher `version` than what you have.

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const TOLERANCE_SECONDS = 300;
const MAX_BODY_BYTES = 65_536;
const key = Buffer.from(process.env.WEBHOOK_SECRET.replace(/^whsec_/, ""), "base64");
const versions = new Map(); // yours lie in a database

/** Verify a webhook over the very bytes that came, and read it; throws if it isn't the stack's. */
function verified(body, headers) {
  const id = headers["webhook-id"];
  const timestamp = headers["webhook-timestamp"] ?? "";
  if (!id || !/^[0-9]{1,12}$/.test(timestamp)) throw new Error("headers are missing");
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE_SECONDS) {
    throw new Error("too old, or of the future");
  }
  const expected = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest();
  // While the secret is being replaced there are two signatures.
  const matches = (headers["webhook-signature"] ?? "").split(" ").some((signature) => {
    const [version, encoded] = signature.split(",");
    const given = Buffer.from(encoded ?? "", "base64");
    return version === "v1" && given.length === expected.length && timingSafeEqual(given, expected);
  });
  if (!matches) throw new Error("no signature matches");
  return JSON.parse(body.toString("utf8"));
}

async function bodyOf(request) {
  const pieces = [];
  let size = 0;
  for await (const piece of request) {
    size += piece.length;
    if (size > MAX_BODY_BYTES) throw new Error("too large");
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

const server = createServer(async (request, response) => {
  try {
    const { type, data: task } = verified(await bodyOf(request), request.headers);
    if (task.version > (versions.get(task.id) ?? 0)) {
      versions.set(task.id, task.version);
      console.log(type, task.id, `version ${task.version}`);
    }
    response.writeHead(204).end();
  } catch (error) {
    response.writeHead(400).end(`refused: ${error.message}`);
  }
});

server.listen(Number(process.argv[2] ?? 8080), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}/`);
});
