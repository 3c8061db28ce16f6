/** The client against a real server: DG_URL, DG_TOKEN and a service `web` with the refs good, bad and slow. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, DgError, Unreachable, type Listed, type StatusUpdate } from "../src/index.js";

const url = env("DG_URL");
const token = env("DG_TOKEN");
const dg = new Client({ url, token, version: "1.0" });
const nobody = "01936b2e-7c00-7000-8000-00000000dead";
const later = "2099-01-01T00:00:00Z";

function env(name: string): string {
  const value = process.env[name];
  assert.ok(value, `${name} is not set`);
  return value;
}

async function collected<T>(source: AsyncIterable<T>, enough: (found: T[]) => boolean = () => false): Promise<T[]> {
  const found: T[] = [];
  for await (const each of source) {
    found.push(each);
    if (enough(found)) break;
  }
  return found;
}

test("a deployment from request to log", async () => {
  const made = await dg.call("createDeployment", { body: { environment: "staging", service: "web", ref: "good" } });
  const lines = await collected(dg.logs(made.id));
  const ended = await dg.ended(made.id, { every: 20 });
  assert.equal(ended.status, "success");
  assert.ok(lines.some((line) => line.text === "released"));
  assert.match(await dg.text("getDeploymentLogs", { path: { id: made.id } }), /^released$/m);
});

test("the same key has one effect, and no other request", async () => {
  const body = { environment: "production", service: "web", ref: "good", not_before: later } as const;
  const key = crypto.randomUUID();
  const first = await dg.call("createDeployment", { body, key });
  assert.equal((await dg.call("createDeployment", { body, key })).id, first.id);
  await assert.rejects(dg.call("createDeployment", { body: { ...body, note: "other" }, key }), { status: 422 });
  await dg.call("cancelDeployment", { path: { id: first.id }, body: { reason: "no" } });
});

test("a refusal says why, in words for people and for programs", async () => {
  const error = await dg.call("getDeployment", { path: { id: nobody } }).catch((reason: unknown) => reason);
  assert.ok(error instanceof DgError);
  assert.equal(error.status, 404);
  assert.equal(error.code, "NOT_FOUND");
  assert.ok(error.message.length > 0);
  assert.ok(error.requestId);
});

test("a wrong token is told from a missing right", async () => {
  await assert.rejects(new Client({ url, token: "nonsense" }).call("whoami"), { status: 401, code: "UNAUTHORIZED" });
  const issued = await dg.call("createToken", { body: { name: "reader", role: "viewer", ttl: 60 } });
  const reader = new Client({ url, token: async () => issued.secret });
  await assert.rejects(reader.call("listTokens"), { status: 403, reason: "forbidden" });
});

test("a list goes on over its pages", async () => {
  const made: string[] = [];
  for (const note of ["a", "b", "c"]) {
    const body = { environment: "production", service: "web", ref: "good", not_before: later, note } as const;
    made.push((await dg.call("createDeployment", { body })).id);
  }
  const query = { environment: "production", status: "pending", limit: 1 } as const;
  const listed: Listed<"listDeployments">[] = await collected(dg.all("listDeployments", { query }));
  assert.deepEqual(listed.map((each) => each.id), [...made].reverse());
  for (const id of made) await dg.call("cancelDeployment", { path: { id } });
});

test("events go on behind the last one that was seen", async () => {
  const { items } = await dg.call("listEvents", { query: { limit: 5 } });
  const all = await collected(dg.events({ after: 0 }), (found) => found.length === items.length);
  assert.deepEqual(all.map((each) => each.seq), items.map((each) => each.seq));
  const rest = await collected(dg.events({ after: 2 }), (found) => found.length === items.length - 2);
  assert.deepEqual(rest, all.slice(2));
});

test("events go on through a broken connection", async () => {
  let tries = 0;
  const fragile: typeof fetch = async (...request) => {
    const answer = await fetch(...request);
    if (++tries > 1 || answer.body === null) return answer;
    const reader = answer.body.getReader();
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        const { value } = await reader.read();
        controller.enqueue((value ?? new Uint8Array()).slice(0, 300));
        controller.error(new TypeError("the connection broke"));
        await reader.cancel();
      },
    });
    return new Response(body, { headers: answer.headers });
  };
  const seen = await collected(
    new Client({ url, token, fetch: fragile }).events({ after: 0 }),
    (found) => found.length === 4,
  );
  assert.deepEqual(seen.map((each) => each.seq), [1, 2, 3, 4]);
  assert.ok(tries > 1);
});

test("following ends when its caller says so", async () => {
  const stop = new AbortController();
  const reading = collected(dg.events({ signal: stop.signal }));
  stop.abort();
  await assert.rejects(reading, { name: "AbortError" });
});

test("moves come over the WebSocket", { skip: typeof WebSocket === "undefined" && "no WebSocket here" }, async () => {
  const body = { environment: "development", service: "web", ref: "bad" } as const;
  const { seq } = (await collected(dg.events({ after: 0 }), (found) => found.length === 1))[0] ?? assert.fail();
  const made = await dg.call("createDeployment", { body });
  const isEnd = (each: StatusUpdate | undefined): boolean =>
    each?.payload.deployment_id === made.id && each.payload.status === "failed";
  const moves = await collected(dg.updates({ after: seq }), (found) => isEnd(found.at(-1)));
  const own = moves.filter((each) => each.payload.deployment_id === made.id).map((each) => each.payload.status);
  assert.equal(own[0], "pending");
  await assert.rejects(collected(new Client({ url, token: "nonsense" }).updates()), { status: 401 });
});

test("what may be repeated is repeated, and nothing else", async () => {
  const answered: string[] = [];
  const flaky: typeof fetch = async (place, init) => {
    answered.push(new Headers(init?.headers).get("idempotency-key") ?? "");
    if (answered.length % 2 === 1) throw new TypeError("fetch failed");
    return fetch(place, init);
  };
  const patient = new Client({ url, token, fetch: flaky });
  await patient.call("lockLane", {
    path: { service: "web", environment: "production" },
    body: { reason: "sale", for: "1h" },
  });
  assert.equal(answered.length, 2);
  assert.equal(answered[0], answered[1]);
  await patient.call("unlockLane", { path: { service: "web", environment: "production" } });
  const preview = { body: { environment: "staging", service: "web", ref: "good" } } as const;
  await assert.rejects(patient.call("previewDeployment", preview), Unreachable);
});

test("a server that is not there is said to be so", async () => {
  const away = new Client({ url: "http://127.0.0.1:9", token, timeout: 1_000 });
  await assert.rejects(away.call("whoami"), Unreachable);
});

// What does not fit the contracts does not compile.
export async function wrongCalls(): Promise<void> {
  // @ts-expect-error there is no such environment
  await dg.call("createDeployment", { body: { environment: "moon" } });
  // @ts-expect-error the path needs an id
  await dg.call("getDeployment");
  // @ts-expect-error there is no such operation
  await dg.call("launch");
  // @ts-expect-error this list has no pages
  await collected(dg.all("listTokens"));
}
