import { connect } from "node:net";
import { fc } from "./property.ts";

const LIMIT_MS = 5000;
const QUIET_MS = 40;

/** Bytes that parsers have been known to read in two ways. */
const TOKENS = [
  "\r\n",
  "\n",
  "\r",
  "\r\n\r\n",
  "\0",
  " ",
  "\t",
  ":",
  ",",
  ";",
  "/",
  "//",
  "/../",
  "%2e",
  "%2f",
  "%00",
  "%",
  "#",
  "?",
  "*",
  "\\",
  "admin",
  "0",
  "-1",
  "ffffffffffffffff",
  "HTTP/1.0",
  "HTTP/1.1",
  "GET / HTTP/1.1\r\n",
  "Host: a.example.com\r\n",
  "Content-Length: 3\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Transfer-Encoding: gzip\r\n",
  "Connection: close\r\n",
  "Connection: upgrade\r\nUpgrade: websocket\r\n",
  "Expect: 100-continue\r\n",
  "0\r\n\r\n",
  "\xff",
  "_",
];

const edit = fc.record({
  kind: fc.constantFrom("insert", "delete", "double", "flip", "cut"),
  // Without bias: small numbers would hit the method nearly every time.
  at: fc.noBias(fc.integer({ min: 0, max: 9999 })).map((place) => place / 10_000),
  length: fc.integer({ min: 1, max: 40 }),
  token: fc.constantFrom(...TOKENS),
  bit: fc.integer({ min: 0, max: 7 }),
});

function edited(
  text: string,
  { kind, at, length, token, bit }: typeof edit extends fc.Arbitrary<infer T> ? T : never,
): string {
  const place = Math.floor(at * text.length);
  const [head, tail] = [text.slice(0, place), text.slice(place)];
  switch (kind) {
    case "insert":
      return head + token + tail;
    case "delete":
      return head + tail.slice(length);
    case "double":
      return head + tail.slice(0, length) + tail;
    case "cut":
      return head;
    case "flip":
      return head + String.fromCharCode((tail.charCodeAt(0) || 0) ^ (1 << bit)) + tail.slice(1);
    default:
      return kind satisfies never;
  }
}

/** Requests near those of the corpus: one or two edits away. */
export const nearby = (requests: readonly Buffer[]): fc.Arbitrary<Buffer> =>
  fc
    .tuple(fc.constantFrom(...requests), fc.array(edit, { minLength: 1, maxLength: 2 }))
    .map(([request, edits]) => Buffer.from(edits.reduce(edited, request.toString("latin1")), "latin1"));

/** Sends bytes, waits for quiet, ends, and waits for the end of the other side: undefined when that does not come. */
export async function provoke(port: number, bytes: Buffer): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    const chunks: Buffer[] = [];
    const quiet = setTimeout(() => socket.end(), QUIET_MS);
    const limit = setTimeout(() => done(undefined), LIMIT_MS);
    const done = (result: Buffer | undefined): void => {
      clearTimeout(quiet);
      clearTimeout(limit);
      socket.destroy();
      resolve(result);
    };
    socket.on("data", (chunk) => {
      chunks.push(chunk);
      quiet.refresh();
    });
    socket.on("error", () => done(Buffer.concat(chunks)));
    socket.on("end", () => done(Buffer.concat(chunks)));
    socket.write(bytes);
  });
}
