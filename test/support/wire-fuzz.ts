import { connect } from "node:net";
import { fc } from "./property.ts";

const LIMIT_MS = 5000;
const QUIET_MS = 40;
/** Without a byte of an answer: most likely half a request. */
const SILENT_MS = 400;

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

/** Header lines that are none of one's business, or that a gateway must not take for what they say. */
const LINES = [
  "X-A: 1",
  "Accept: */*",
  "Cookie: a=1",
  "X-Forwarded-For: 10.0.0.1",
  "X-Forwarded-Proto: https",
  "TE: trailers",
  "Keep-Alive: timeout=5",
  "Upgrade: h2c",
  "Connection: keep-alive",
  "X-Serviceroute-Hops: 3",
  "Authorization: Basic eDp5",
];

const edit = fc.record({
  kind: fc.constantFrom("insert", "delete", "double", "flip", "cut", "line", "line", "line"),
  line: fc.constantFrom(...LINES),
  // Without bias: small numbers would hit the method nearly every time.
  at: fc.noBias(fc.integer({ min: 0, max: 9999 })).map((place) => place / 10_000),
  length: fc.integer({ min: 1, max: 40 }),
  token: fc.constantFrom(...TOKENS),
  bit: fc.integer({ min: 0, max: 7 }),
});

function edited(
  text: string,
  { kind, line, at, length, token, bit }: typeof edit extends fc.Arbitrary<infer T> ? T : never,
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
    case "line":
      return text.replace("\r\n", () => `\r\n${line}\r\n`);
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

/** Marks the requests in these bytes, so that the backend's can be told apart. */
export const marked = (bytes: Buffer, number: number): Buffer =>
  Buffer.from(
    bytes.toString("latin1").replaceAll(/^host:.*\r\n/gim, (host) => `${host}X-Fuzz: ${number}\r\n`),
    "latin1",
  );

/** Answers that only the backend gives. */
export const servedIn = (bytes: Buffer): number => bytes.toString("latin1").split("HTTP/1.1 200 ").length - 1;

/**
 * Sends bytes, waits for quiet and for the answer to everything that has reached the backend, ends, and waits for the
 * end of the other side: undefined when one of those does not come.
 *
 * @param reached  How many requests of these bytes the backend has seen.
 */
export async function provoke(port: number, bytes: Buffer, reached: () => number): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    const chunks: Buffer[] = [];
    const isAnswered = (): boolean => servedIn(Buffer.concat(chunks)) >= reached();
    const started = performance.now();
    const isOver = (): boolean => isAnswered() && (chunks.length > 0 || performance.now() - started > SILENT_MS);
    const quiet: NodeJS.Timeout = setTimeout(() => (isOver() ? socket.end() : quiet.refresh()), QUIET_MS);
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
