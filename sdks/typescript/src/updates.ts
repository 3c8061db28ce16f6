/** The specification's WebSocket: the moves of deployments, taken up again where a connection broke. */
import { DgError, Unreachable } from "./errors.js";

export interface StatusUpdate {
  type: "deployment_status_update";
  payload: {
    deployment_id: string;
    status: "pending" | "building" | "deploying" | "success" | "failed" | "rolled_back";
    environment: string;
    service: string;
    version?: string;
    reason?: string;
    duration?: number;
    rolled_back_by?: string;
  };
  timestamp: string;
  /** The event that it was made of: what `after` is given to go on behind it. */
  seq: number;
}

const REFUSED: Readonly<Record<number, [status: number, reason: string]>> = {
  1008: [400, "invalid"],
  4401: [401, "unauthenticated"],
  4403: [403, "forbidden"],
};
const PAUSE = 1_000;
const ATTEMPTS = 60;

/** Raised by a connection's end that another connection may mend. */
class Ended extends Error {}

export async function* statusUpdates(
  open: () => WebSocket,
  token: () => Promise<string>,
  after: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<StatusUpdate> {
  for (let failures = 0; failures < ATTEMPTS; failures++) {
    try {
      for await (const update of received(open(), await token(), after, signal)) {
        failures = 0;
        after = update.seq;
        yield update;
      }
    } catch (error) {
      if (!(error instanceof Ended)) throw error;
    }
    signal?.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
  throw new Unreachable("the server cannot be reached over WebSocket");
}

/** The messages of one connection until it ends. */
async function* received(
  socket: WebSocket,
  token: string,
  after: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<StatusUpdate> {
  const arrived: StatusUpdate[] = [];
  let end: Error | undefined;
  let wake = (): void => undefined;
  const close = (): void => socket.close();
  socket.onopen = () => socket.send(JSON.stringify({ type: "auth", token, after }));
  socket.onmessage = (event) => {
    arrived.push(JSON.parse(String(event.data)) as StatusUpdate);
    wake();
  };
  socket.onclose = (event) => {
    end = ending(event);
    wake();
  };
  signal?.addEventListener("abort", close);
  try {
    for (;;) {
      for (let next = arrived.shift(); next !== undefined; next = arrived.shift()) yield next;
      signal?.throwIfAborted();
      if (end !== undefined) throw end;
      await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    signal?.removeEventListener("abort", close);
    socket.close();
  }
}

function ending(event: CloseEvent): Error {
  const refused = REFUSED[event.code];
  if (refused === undefined) return new Ended(event.reason);
  const [status, reason] = refused;
  return new DgError(event.reason, status, status === 400 ? "VALIDATION_ERROR" : "UNAUTHORIZED", reason);
}
