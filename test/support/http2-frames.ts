import { once } from "node:events";
import { type Socket, connect } from "node:net";

export const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/** @source RFC 9113 section 6. */
export const TYPE = {
  DATA: 0,
  HEADERS: 1,
  RST_STREAM: 3,
  SETTINGS: 4,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const;
export const END_STREAM = 1;
export const END_HEADERS = 4;

export function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

export const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

/** A text of HPACK, not compressed. */
function literal(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const length = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest >>= 7) length.push((rest & 127) | 128);
  return Buffer.concat([Buffer.from([...length, rest]), bytes]);
}

/** A header block as it is told to be, valid or not. */
export function headerBlock(pairs: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(pairs.flatMap(([name, value]) => [Buffer.from([0]), literal(name), literal(value)]));
}

export const REQUEST: readonly (readonly [string, string])[] = [
  [":method", "GET"],
  [":scheme", "http"],
  [":path", "/"],
  [":authority", "a.example.com"],
];

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** A client of HTTP/2 that sends whatever it is told to. */
export class FrameClient {
  readonly frames: Frame[] = [];
  closed = false;
  readonly #socket: Socket;
  #rest: Buffer = Buffer.alloc(0);

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("error", () => (this.closed = true));
    socket.on("close", () => (this.closed = true));
    socket.on("end", () => (this.closed = true));
    socket.on("data", (chunk) => this.#read(chunk));
  }

  static async open(port: number): Promise<FrameClient> {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    await once(socket, "connect");
    const client = new FrameClient(socket);
    client.send(Buffer.concat([Buffer.from(PREFACE), frame(TYPE.SETTINGS, 0, 0)]));
    return client;
  }

  send(bytes: Buffer): void {
    if (!this.closed) this.#socket.write(bytes);
  }

  /** Sends, and waits until the other end has taken it or is gone. */
  async sendAll(bytes: Buffer): Promise<void> {
    if (this.closed || this.#socket.write(bytes)) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#socket.off("drain", done).off("close", done).off("error", done);
        resolve();
      };
      this.#socket.on("drain", done).on("close", done).on("error", done);
    });
  }

  /** FIN, without GOAWAY. */
  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  has(type: number, stream?: number): boolean {
    return this.frames.some((one) => one.type === type && (stream === undefined || one.stream === stream));
  }

  #read(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= 9) {
      const length = this.#rest.readUIntBE(0, 3);
      if (this.#rest.length < 9 + length) return;
      const [type, flags, stream] = [this.#rest[3] ?? 0, this.#rest[4] ?? 0, this.#rest.readUInt32BE(5)];
      this.frames.push({ type, flags, stream, payload: Buffer.from(this.#rest.subarray(9, 9 + length)) });
      this.#rest = this.#rest.subarray(9 + length);
    }
  }
}
