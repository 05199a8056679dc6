/**
 * Bytes of HTTP/1 as they are written in the corpus: each line ends in CRLF; `\xNN` is a byte, `\r` and `\n` are bare
 * ones, `\` at the end of a line joins it with the next, and `{N*text}` repeats.
 */
export function bytesOf(text: string): Buffer {
  const lines = text
    .replaceAll("\\\n", "")
    .replaceAll(/\{(\d+)\*([^}]*)\}/g, (_all, times: string, part: string) => part.repeat(Number(times)))
    .replaceAll("\n", "\r\n");
  const plain = lines.replaceAll(
    /\\(?:x([0-9a-fA-F]{2})|([rn\\]))/g,
    (_all, hex: string | undefined, letter: string) =>
      hex === undefined
        ? { r: "\r", n: "\n", "\\": "\\" }[letter as "r" | "n" | "\\"]
        : String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(plain, "latin1");
}

/** One request or answer, as its bytes were. */
export interface Message {
  /** Request or status line. */
  readonly start: string;
  /** Name and value, as they came. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
}

export type Parsed =
  | { readonly kind: "message"; readonly message: Message; readonly rest: Buffer }
  | { readonly kind: "incomplete" }
  | { readonly kind: "malformed"; readonly why: string };

const valuesOf = (headers: Message["headers"], wanted: string): string[] =>
  headers.filter(([name]) => name.toLowerCase() === wanted).map(([, value]) => value);

const malformed = (why: string): Parsed => ({ kind: "malformed", why });

/**
 * The first message of these bytes, read more strictly than any server does: whatever a gateway sends must be this clean.
 *
 * @param bodyless  Whether the answer is one to HEAD.
 * @param ended     Whether nothing more comes.
 */
export function parseMessage(bytes: Buffer, bodyless: boolean, ended: boolean): Parsed {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) return { kind: "incomplete" };
  const [start = "", ...lines] = bytes.subarray(0, end).toString("latin1").split("\r\n");
  if (!/^(HTTP\/1\.1 [1-9][0-9]{2} [^\r\n]*|[A-Z-]+ [\x21-\x7e]+ HTTP\/1\.1)$/.test(start))
    return malformed(`start line ${start}`);
  const headers: [string, string][] = [];
  for (const line of lines) {
    const match = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/.exec(line);
    if (match === null) return malformed(`header line ${JSON.stringify(line)}`);
    headers.push([match[1] ?? "", match[2] ?? ""]);
  }
  return bodyOf({ start, headers, body: "" }, bytes.subarray(end + 4), bodyless, ended);
}

function bodyOf(head: Message, rest: Buffer, bodyless: boolean, ended: boolean): Parsed {
  const [lengths, codings] = [valuesOf(head.headers, "content-length"), valuesOf(head.headers, "transfer-encoding")];
  if (lengths.length + codings.length > 1) return malformed("framed more than once");
  const done = (body: string, left: Buffer): Parsed => ({ kind: "message", message: { ...head, body }, rest: left });
  const status = /^HTTP\/1\.1 (\d+)/.exec(head.start)?.[1];
  if (bodyless || status?.startsWith("1") === true || status === "204" || status === "304") return done("", rest);
  if (codings.length === 1)
    return codings[0] === "chunked" ? chunkedBody(head, rest) : malformed(`coded ${codings[0] ?? ""}`);
  if (lengths.length === 0) {
    if (status === undefined) return done("", rest);
    return ended ? done(rest.toString("latin1"), Buffer.alloc(0)) : { kind: "incomplete" };
  }
  if (!/^(0|[1-9][0-9]*)$/.test(lengths[0] ?? "")) return malformed(`length ${lengths[0] ?? ""}`);
  const length = Number(lengths[0]);
  if (rest.length < length) return { kind: "incomplete" };
  return done(rest.subarray(0, length).toString("latin1"), rest.subarray(length));
}

function chunkedBody(head: Message, bytes: Buffer): Parsed {
  let body = "";
  for (let rest = bytes; ;) {
    const line = rest.indexOf("\r\n");
    if (line < 0) return { kind: "incomplete" };
    const size = rest.subarray(0, line).toString("latin1");
    if (!/^[0-9a-fA-F]+$/.test(size)) return malformed(`chunk size ${JSON.stringify(size)}`);
    const length = Number.parseInt(size, 16);
    const end = line + 2 + length;
    if (rest.length < end + 2) return { kind: "incomplete" };
    if (rest.subarray(end, end + 2).toString("latin1") !== "\r\n") return malformed("a chunk without its end");
    body += rest.subarray(line + 2, end).toString("latin1");
    rest = rest.subarray(end + 2);
    if (length === 0) return { kind: "message", message: { ...head, body }, rest };
  }
}
