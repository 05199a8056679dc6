import { serverNameFor } from "../../routing/hostname.ts";

/** The name that a TLS client asks for, as far as its first bytes tell. */
export type ServerName =
  | { readonly kind: "name"; readonly name: string }
  /** It names nothing. */
  | { readonly kind: "none" }
  | { readonly kind: "incomplete" }
  | { readonly kind: "malformed" };

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
/** Of the version of every record since SSL 3. */
const MAJOR = 3;
const RECORD_HEAD = 5;
const MESSAGE_HEAD = 4;
const SERVER_NAME = 0;
const HOST_NAME = 0;
/** More than any client sends, certificates of post-quantum keys included. */
const LONGEST = 16 * 1024;
/** More than any client makes of it: every piece that comes is read from the start. */
const MOST_RECORDS = 32;

/** Reads a message field by field; reading past its end makes it malformed. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  number(size: 1 | 2): number {
    const value = this.#bytes.readUIntBE(this.#at, size);
    this.#at += size;
    return value;
  }

  /** A field that is preceded by its length. */
  field(lengthSize: 1 | 2): Buffer {
    return this.skip(this.number(lengthSize));
  }

  skip(size: number): Buffer {
    if (this.#at + size > this.#bytes.length) throw new RangeError("the field is longer than its message");
    const field = this.#bytes.subarray(this.#at, this.#at + size);
    this.#at += size;
    return field;
  }
}

/** The handshake message that begins here, put together from its records; undefined while there is more to come. */
function firstMessage(bytes: Buffer): Buffer | undefined | "malformed" {
  let message: Buffer = Buffer.alloc(0);
  let records = 0;
  for (let at = 0; at + RECORD_HEAD <= bytes.length;) {
    if (++records > MOST_RECORDS) return "malformed";
    if (bytes[at] !== HANDSHAKE || bytes[at + 1] !== MAJOR) return "malformed";
    const end = at + RECORD_HEAD + bytes.readUInt16BE(at + 3);
    message = Buffer.concat([message, bytes.subarray(at + RECORD_HEAD, end)]);
    if (message.length >= MESSAGE_HEAD) {
      if (message[0] !== CLIENT_HELLO) return "malformed";
      const whole = MESSAGE_HEAD + message.readUIntBE(1, 3);
      if (message.length >= whole) return message.subarray(MESSAGE_HEAD, whole);
    }
    if (end > bytes.length) return undefined;
    at = end;
  }
  return undefined;
}

/** @source RFC 8446 section 4.1.2; RFC 6066 section 3. */
export function nameAskedFor(bytes: Buffer): ServerName {
  const [type = HANDSHAKE, major = MAJOR] = bytes;
  if (type !== HANDSHAKE || major !== MAJOR) return { kind: "malformed" };
  const hello = firstMessage(bytes);
  if (hello === "malformed" || (hello === undefined && bytes.length > LONGEST)) return { kind: "malformed" };
  if (hello === undefined) return { kind: "incomplete" };
  try {
    return nameIn(new Reader(hello));
  } catch {
    return { kind: "malformed" };
  }
}

function nameIn(hello: Reader): ServerName {
  hello.skip(2 + 32);
  hello.field(1);
  hello.field(2);
  hello.field(1);
  if (hello.isAtEnd) return { kind: "none" };
  const extensions = new Reader(hello.field(2));
  while (!extensions.isAtEnd) {
    const type = extensions.number(2);
    const content = extensions.field(2);
    if (type !== SERVER_NAME) continue;
    const names = new Reader(new Reader(content).field(2));
    if (names.number(1) !== HOST_NAME) return { kind: "malformed" };
    return { kind: "name", name: serverNameFor(names.field(2).toString("latin1")) };
  }
  return { kind: "none" };
}
