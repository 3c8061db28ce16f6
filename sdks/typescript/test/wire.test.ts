/** The client against answers of the tests' own making: what a network and a proxy may do to it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, DgError, Unreachable } from "../src/index.js";
import { messages } from "../src/sse.js";

type Answering = (request: Request, number: number) => Response | Promise<Response>;

/** A client whose server is a function; `asked` are the requests that it got. */
function pretending(answering: Answering): { dg: Client; asked: Request[] } {
  const asked: Request[] = [];
  const fetch: typeof globalThis.fetch = async (place, init) => {
    asked.push(new Request(place, init));
    return answering(asked.at(-1) ?? assert.fail(), asked.length);
  };
  return { dg: new Client({ url: "http://dg.example/", token: "t", fetch }), asked };
}

function refused(status: number, reason: string, headers: Record<string, string> = {}): Response {
  const error = { code: "VALIDATION_ERROR", message: "no", details: { reason, request_id: "r-1" } };
  return Response.json({ error }, { status, headers });
}

function streamed(...parts: Uint8Array[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const part of parts) controller.enqueue(part);
      controller.close();
    },
  });
}

async function seen(...parts: Uint8Array[]): Promise<{ id: string; data: string }[]> {
  const found = [];
  for await (const message of messages(streamed(...parts), () => undefined)) found.push(message);
  return found;
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const lane = { path: { service: "web", environment: "staging" }, body: { reason: "sale", for: "1h" } } as const;

test("a path's value cannot reach beyond its place", async () => {
  const { dg, asked } = pretending(() => Response.json({}));
  await dg.call("getPipeline", { path: { service: "../tokens?x=1#" } });
  assert.equal(asked[0]?.url, "http://dg.example/v1/pipelines/..%2Ftokens%3Fx%3D1%23");
});

test("what the server asks to wait is waited, and the key stays the same", async () => {
  const { dg, asked } = pretending((_, number) =>
    number === 1 ? refused(429, "rate_limited", { "retry-after": "1" }) : Response.json({}),
  );
  const began = Date.now();
  await dg.call("lockLane", lane);
  assert.ok(Date.now() - began >= 950);
  const keys = asked.map((each) => each.headers.get("idempotency-key"));
  assert.equal(keys.length, 2);
  assert.ok(keys[0]);
  assert.equal(keys[0], keys[1]);
});

test("a wait that is too long is the caller's to decide", async () => {
  const { dg, asked } = pretending(() => refused(429, "rate_limited", { "retry-after": "60" }));
  const error = await dg.call("lockLane", lane).catch((reason: unknown) => reason);
  assert.ok(error instanceof DgError);
  assert.deepEqual([error.retryAfter, error.reason, error.requestId], [60, "rate_limited", "r-1"]);
  assert.equal(asked.length, 1);
});

test("a refusal that stands is not repeated", async () => {
  const { dg, asked } = pretending(() => refused(409, "lane_closed"));
  await assert.rejects(dg.call("lockLane", lane), { reason: "lane_closed" });
  assert.equal(asked.length, 1);
});

test("a proxy's page is a refusal without a reason", async () => {
  const { dg } = pretending(() => new Response("<h1>Forbidden</h1>", { status: 403 }));
  await assert.rejects(dg.call("whoami"), { status: 403, reason: "unknown" });
});

test("an answer that breaks off is asked for again, as often as is sensible", async () => {
  const { dg, asked } = pretending(
    () =>
      new Response(
        new ReadableStream({ start: (controller) => controller.error(new TypeError("terminated")) }),
      ),
  );
  await assert.rejects(dg.call("whoami"), Unreachable);
  assert.equal(asked.length, 4);
});

test("a caller that gives up is not kept waiting", async () => {
  const stop = new AbortController();
  const { dg, asked } = pretending(() => {
    stop.abort();
    return refused(503, "stopping", { "retry-after": "5" });
  });
  await assert.rejects(dg.call("whoami", { signal: stop.signal }), { name: "AbortError" });
  assert.equal(asked.length, 1);
});

test("a token is asked for anew with each request", async () => {
  let number = 0;
  const sent: (string | null)[] = [];
  const fetch: typeof globalThis.fetch = async (_, init) => {
    sent.push(new Headers(init?.headers).get("authorization"));
    return Response.json({});
  };
  const dg = new Client({ url: "http://dg.example", token: () => `t${++number}`, fetch });
  await dg.call("whoami");
  await dg.call("whoami");
  assert.deepEqual(sent, ["Bearer t1", "Bearer t2"]);
});

test("a stream is read as it comes, in whatever pieces", async () => {
  const whole = bytes('id: 7\nevent: x\ndata: {"a":"ä\u2028"}\n\n: still here\n\nid: 8\r\ndata: one\r\ndata: two\r\n\r\n');
  const expected = [
    { id: "7", data: '{"a":"ä\u2028"}' },
    { id: "8", data: "one\ntwo" },
  ];
  assert.deepEqual(await seen(whole), expected);
  assert.deepEqual(await seen(...Array.from(whole, (each) => Uint8Array.of(each))), expected);
});

test("an event that broke off is not given out", async () => {
  assert.deepEqual(await seen(bytes("id: 7\ndata: half")), []);
  assert.deepEqual(await seen(bytes("id: 7\n\nid: 8\ndata: half\n")), [{ id: "7", data: "" }]);
});
