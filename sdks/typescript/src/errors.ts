/** What can go wrong: the server refused, or was not there. */

interface Envelope {
  error?: { code?: unknown; message?: unknown; details?: Record<string, unknown> };
}

/** The server's refusal. `reason` is a stable word for programs, `message` a sentence for people. */
export class DgError extends Error {
  override readonly name = "DgError";

  constructor(
    message: string,
    readonly status: number,
    readonly code: string,
    readonly reason: string,
    readonly details: Readonly<Record<string, unknown>> = {},
    /** Seconds after which the server will listen again, where it said so. */
    readonly retryAfter: number | undefined = undefined,
  ) {
    super(message);
  }

  /** What the server's log knows the request by. */
  get requestId(): string | undefined {
    const found = this.details["request_id"];
    return typeof found === "string" ? found : undefined;
  }
}

/** No answer: the server is away, or the connection broke. Whether the request was heard is not known. */
export class Unreachable extends Error {
  override readonly name = "Unreachable";
}

/** The error that an answer with a status of 400 or more means. */
export async function refusal(answer: Response): Promise<DgError> {
  const text = await answer.text();
  const { code, message, details } = envelope(text).error ?? {};
  const after = answer.headers.get("retry-after") ?? "";
  return new DgError(
    typeof message === "string" ? message : `the server answered ${answer.status}`,
    answer.status,
    typeof code === "string" ? code : "INTERNAL_ERROR",
    typeof details?.["reason"] === "string" ? details["reason"] : "unknown",
    details ?? {},
    /^\d+$/.test(after) ? Number(after) : undefined,
  );
}

function envelope(text: string): Envelope {
  try {
    const found: unknown = JSON.parse(text);
    return typeof found === "object" && found !== null ? found : {};
  } catch {
    return {};
  }
}
