// A receiver of webhooks in Node, with nothing to install.
//
//     WEBHOOK_SECRET=whsec_… node receiver.mjs [PORT]
//
// The secret is that of your API key: GET /v1/webhook-secret shows it.
//
// A webhook may come twice and out of order. Verify it, answer 2xx within 15 seconds, and keep for
// each task only what has a higher `version` than what you have.

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const TOLERANCE_SECONDS = 300;
const MAX_BODY_BYTES = 65_536;
const LEAST_KEY_BYTES = 24;
const key = keyFrom(process.env.WEBHOOK_SECRET ?? "");
const versions = new Map(); // keep yours in a database

/** Decode the secret, or end the program: with an empty key, every signature is easily made. */
function keyFrom(secret) {
  const encoded = secret.replace(/^whsec_/, "");
  const decoded = Buffer.from(encoded, "base64");
  const isBase64 = /^[A-Za-z0-9+/]+={0,2}$/.test(encoded);
  if (!isBase64 || decoded.length < LEAST_KEY_BYTES) {
    console.error(
      `WEBHOOK_SECRET must be whsec_ and base64 of at least ${LEAST_KEY_BYTES} bytes: ` +
        "set it to what GET /v1/webhook-secret shows",
    );
    process.exit(1);
  }
  return decoded;
}

/** Verify a webhook over the exact bytes of its body, and read it; throws if it isn't valid. */
function verified(body, headers) {
  const id = headers["webhook-id"];
  const timestamp = headers["webhook-timestamp"] ?? "";
  if (!id || !/^[0-9]{1,12}$/.test(timestamp)) throw new Error("headers are missing");
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE_SECONDS) {
    throw new Error("the timestamp is more than five minutes off");
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

class TooLargeError extends Error {
  message = `the body is larger than ${MAX_BODY_BYTES} bytes`;
}

async function bodyOf(request) {
  const pieces = [];
  let size = 0;
  for await (const piece of request) {
    size += piece.length;
    if (size > MAX_BODY_BYTES) throw new TooLargeError();
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
    const tooLarge = error instanceof TooLargeError;
    // What is left of a body that is too large is not read.
    response.writeHead(tooLarge ? 413 : 400, tooLarge ? { Connection: "close" } : {});
    response.end(`refused: ${error.message}`, () => tooLarge && request.destroy());
  }
});

server.listen(Number(process.argv[2] ?? 8080), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}/`);
});
