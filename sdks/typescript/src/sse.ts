/** Server-sent events as they come off the wire (HTML Standard, 9.2.6). */

/** `id` is where the stream stands by then; `data` is empty where only that is said. */
export interface Message {
  id: string;
  data: string;
}

/** The messages of a stream; `heard` is called for all that comes, signs of life too. */
export async function* messages(
  body: ReadableStream<Uint8Array>,
  heard: () => void,
): AsyncGenerator<Message> {
  let id = "";
  let fresh = false;
  let data: string[] = [];
  for await (const line of lines(body, heard)) {
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (line === "") {
      if (id !== "" && (fresh || data.length > 0)) yield { id, data: data.join("\n") };
      fresh = false;
      data = [];
    } else if (field === "id") {
      id = value;
      fresh = true;
    } else if (field === "data") {
      data.push(value);
    }
  }
}

async function* lines(body: ReadableStream<Uint8Array>, heard: () => void): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      const found = (rest + decoder.decode(value, { stream: true })).split("\n");
      rest = found.pop() ?? "";
      for (const line of found) yield line.replace(/\r$/, "");
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
