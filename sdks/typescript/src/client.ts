/** The client: one typed call for every operation, and what a program needs around them. */
import { DgError, refusal, Unreachable } from "./errors.js";
import { OPERATIONS } from "./operations.js";
import { type Message, messages } from "./sse.js";
import type { Answer, Asked, Listed, OperationId, PagedId, Schemas } from "./types.js";
import { type StatusUpdate, statusUpdates } from "./updates.js";

export interface Options {
  /** Where the server is, without `/v1`: `https://dg.example.org`. */
  url: string;
  /** A token, or what gives a fresh one before each request. */
  token: string | (() => string | Promise<string>);
  /** The API's version that the program was written for; sent as Accept-Version. */
  version?: string;
  /** Milliseconds that one try may take. */
  timeout?: number;
  fetch?: typeof fetch;
  /** For runtimes without a WebSocket of their own (Node before 22). */
  WebSocket?: typeof WebSocket;
}

interface Sent {
  path?: Record<string, string>;
  query?: Record<string, unknown>;
  body?: unknown;
  key?: string;
  signal?: AbortSignal;
}

const ATTEMPTS = 4;
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 5_000;
/** How long a follower goes on asking a server that is away. */
const PATIENCE = 120_000;
const SILENCE = 60_000;
const LOG_WAIT = 20;
const FINAL: ReadonlySet<string> = new Set(["success", "failed", "rolled_back"]);

export class Client {
  readonly #options: Options;
  readonly #url: string;
  readonly #fetch: typeof fetch;

  constructor(options: Options) {
    this.#options = options;
    this.#url = options.url.replace(/\/+$/, "");
    this.#fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
  }

  /**
   * Ask for one operation, by its id in the contracts. A change carries an Idempotency-Key, so that it has one
   * effect however often it has to be sent.
   *
   * @throws DgError when the server refuses, Unreachable when it is not there.
   */
  async call<Id extends OperationId>(id: Id, ...[request]: Asked<Id>): Promise<Answer<Id>> {
    return this.#send(id, sent(request), json<Answer<Id>>);
  }

  /** As `call`, for what is not JSON: a raw log, metrics, a public key. */
  async text<Id extends OperationId>(id: Id, ...[request]: Asked<Id>): Promise<string> {
    return this.#send(id, sent(request), (answer) => answer.text(), "text/plain, */*;q=0.5");
  }

  /** Everything in a list, page by page as it is needed. */
  async *all<Id extends PagedId>(id: Id, ...[request]: Asked<Id>): AsyncGenerator<Listed<Id>> {
    const first = sent(request);
    let cursor: string | undefined;
    do {
      const next = cursor === undefined ? first : { ...first, query: { ...first.query, cursor } };
      const page = await this.#send(id, next, json<{ items: Listed<Id>[]; next_cursor?: string }>);
      yield* page.items;
      cursor = page.next_cursor;
    } while (cursor !== undefined);
  }

  /** Wait until a deployment has ended, through a restart of the server. */
  async ended(id: string, options: { every?: number; signal?: AbortSignal } = {}): Promise<Schemas["Deployment"]> {
    const patience = new Patience();
    for (;;) {
      try {
        const request = { path: { id }, ...(options.signal && { signal: options.signal }) };
        const { deployment } = await this.call("getDeploymentStatus", request);
        if (deployment !== undefined && FINAL.has(deployment.status)) return deployment;
        patience.restore();
      } catch (error) {
        await patience.spend(error, options.signal);
      }
      await sleep(options.every ?? 1_000, options.signal);
    }
  }

  /** What a deployment's steps print, line by line, until it has ended. */
  async *logs(id: string, options: { after?: number; signal?: AbortSignal } = {}): AsyncGenerator<Schemas["LogLine"]> {
    const patience = new Patience();
    let after = options.after ?? 0;
    for (;;) {
      try {
        const query = { after, wait: LOG_WAIT };
        const request = { path: { id }, query, ...(options.signal && { signal: options.signal }) };
        const page = await this.call("getDeploymentLogs", request);
        yield* page.items;
        after = page.next_seq;
        if (page.complete) return;
        patience.restore();
      } catch (error) {
        await patience.spend(error, options.signal);
      }
    }
  }

  /** Everything that happens, in order and each once; with `after`, from behind that event on. */
  async *events(
    options: { after?: number; filter?: string; signal?: AbortSignal } = {},
  ): AsyncGenerator<Schemas["Event"]> {
    const patience = new Patience();
    let last = options.after;
    for (;;) {
      try {
        for await (const message of this.#stream(last, options.filter, options.signal)) {
          patience.restore();
          last = Number(message.id);
          if (message.data !== "") yield JSON.parse(message.data) as Schemas["Event"];
        }
        throw new Unreachable("the server ended the stream");
      } catch (error) {
        await patience.spend(error, options.signal);
      }
    }
  }

  /** The moves of all deployments over the WebSocket; with `after`, from behind that event on. */
  async *updates(options: { after?: number; signal?: AbortSignal } = {}): AsyncGenerator<StatusUpdate> {
    const make = this.#options.WebSocket ?? globalThis.WebSocket;
    const url = `${this.#url.replace(/^http/, "ws")}/ws/deployments`;
    const after = options.after ?? (await this.#reached());
    yield* statusUpdates(() => new make(url), () => this.#token(), after, options.signal);
  }

  /** How far the events reach now. */
  async #reached(): Promise<number> {
    const ledger = await this.#send("whoami", {}, async (answer) => answer.headers.get("dg-ledger"));
    const seq = Number(ledger?.split(":")[1]);
    if (!Number.isSafeInteger(seq)) throw new Unreachable("the server does not say how far its events reach");
    return seq;
  }

  async *#stream(after?: number, filter?: string, signal?: AbortSignal): AsyncGenerator<Message> {
    const headers: Record<string, string> = after === undefined ? {} : { "Last-Event-ID": String(after) };
    const silence = new Silence(SILENCE);
    try {
      const request = {
        ...(filter !== undefined && { query: { filter } }),
        signal: either(silence.signal, signal),
      };
      const answer = await this.#once("listEvents", request, { ...headers, Accept: "text/event-stream" });
      if (answer.body === null) throw new Unreachable("the server sent no stream");
      yield* messages(answer.body, () => silence.broken());
    } catch (error) {
      throw lost(error, signal);
    } finally {
      silence.end();
    }
  }

  /** Ask until there is an answer that `read` can read, or asking again does not help. */
  async #send<T>(
    id: OperationId,
    request: Sent,
    read: (answer: Response) => Promise<T>,
    accept = "application/json",
  ): Promise<T> {
    const { method, keyed } = OPERATIONS[id];
    const headers: Record<string, string> = { Accept: accept };
    if (keyed) headers["Idempotency-Key"] = request.key ?? crypto.randomUUID();
    for (let attempt = 1; ; attempt++) {
      const wait = Number(request.query?.["wait"] ?? 0) * 1_000;
      const limit = AbortSignal.timeout((this.#options.timeout ?? 30_000) + wait);
      try {
        return await read(await this.#once(id, { ...request, signal: either(limit, request.signal) }, headers));
      } catch (caught) {
        request.signal?.throwIfAborted();
        const error = lost(caught, request.signal);
        const again = (method === "GET" || keyed) && mayPass(error);
        if (!again || attempt >= ATTEMPTS) throw error;
        await sleep(pause(attempt, error), request.signal);
      }
    }
  }

  /** One try. */
  async #once(id: OperationId, request: Sent, headers: Record<string, string>): Promise<Response> {
    const { method, path } = OPERATIONS[id];
    const init: RequestInit = {
      method,
      headers: {
        ...headers,
        Authorization: `Bearer ${await this.#token()}`,
        ...(this.#options.version !== undefined && { "Accept-Version": this.#options.version }),
        ...(request.body !== undefined && { "Content-Type": "application/json" }),
      },
      ...(request.body !== undefined && { body: JSON.stringify(request.body) }),
      ...(request.signal && { signal: request.signal }),
    };
    const answer = await this.#fetch(`${this.#url}/v1${placed(path, request.path)}${asked(request.query)}`, init);
    if (!answer.ok) throw await refusal(answer);
    return answer;
  }

  async #token(): Promise<string> {
    const { token } = this.#options;
    return typeof token === "string" ? token : token();
  }
}

/** How long a follower goes on asking a server that is away. */
class Patience {
  #attempt = 0;
  #since: number | undefined;

  restore(): void {
    this.#attempt = 0;
    this.#since = undefined;
  }

  /** Wait before asking again. Throws `error` when asking again does not help, or took too long already. */
  async spend(error: unknown, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    this.#since ??= Date.now();
    if (!mayPass(error) || Date.now() - this.#since >= PATIENCE) throw error;
    await sleep(pause(++this.#attempt, error), signal);
  }
}

/** Aborts when nothing was heard for so many milliseconds. */
class Silence {
  readonly #controller = new AbortController();
  #timer: ReturnType<typeof setTimeout>;

  constructor(private readonly longest: number) {
    this.#timer = this.#start();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  broken(): void {
    clearTimeout(this.#timer);
    this.#timer = this.#start();
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#controller.abort();
  }

  #start(): ReturnType<typeof setTimeout> {
    return setTimeout(() => this.#controller.abort(new Unreachable("the server fell silent")), this.longest);
  }
}

/** Whether the same request may fare better in a moment. */
function mayPass(error: unknown): boolean {
  if (error instanceof Unreachable) return true;
  if (!(error instanceof DgError)) return false;
  if (error.status === 429) return (error.retryAfter ?? 0) * 1_000 <= LONGEST_PAUSE;
  return error.status === 503 || error.reason === "in_flight";
}

/** Milliseconds to wait after a failed try, counted from 1: what the server asks for, or twice the time before. */
function pause(attempt: number, error: unknown): number {
  const told = error instanceof DgError ? (error.retryAfter ?? 0) * 1_000 : 0;
  if (told > 0) return Math.min(told, LONGEST_PAUSE);
  const full = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** Math.min(attempt - 1, 16));
  return full * (0.5 + Math.random() / 2);
}

/** What a broken connection is thrown as; refusals, and the caller's own abort, stay what they are. */
function lost(error: unknown, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted || error instanceof DgError || error instanceof Unreachable) return error;
  if (error instanceof SyntaxError) return error; // what answered is not dg
  return new Unreachable("the server cannot be reached", { cause: error });
}

function either(one: AbortSignal, other: AbortSignal | undefined): AbortSignal {
  return other === undefined ? one : AbortSignal.any([one, other]);
}

function sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener("abort", done, { once: true });
    function done(): void {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      if (signal?.aborted) reject(signal.reason as Error);
      else resolve();
    }
  });
}

async function json<T>(answer: Response): Promise<T> {
  return (await answer.json()) as T;
}

/** A typed request as all of them are sent. */
function sent(request: object | undefined): Sent {
  return request ?? {};
}

/** The path with its values, none of which can reach beyond its own place. */
function placed(path: string, values: Record<string, string> = {}): string {
  return path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(values[name] ?? ""));
}

function asked(query: Record<string, unknown> = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return text === "" ? "" : `?${text}`;
}
