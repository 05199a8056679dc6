import type { IncomingHttpHeaders } from "node:http";
import type { GatewayRequest } from "./gateway-request.ts";

const GRPC_WEB = /^application\/grpc-web(-text)?($|[+;].*)/i;
const GRPC = /^application\/grpc($|[+;].*)/i;
const TRAILER_FRAME = 0x80;
const FRAME_HEAD = 5;
/** Letters of base64 that stand for whole bytes. */
const QUANTUM = 4;

/**
 * Between a browser, which has no trailers, and a gRPC server: trailers become the last frame of the body, and in the
 * text form the body is base64.
 *
 * @source gRPC-Web's PROTOCOL-WEB.md.
 */
export class GrpcWebBridge {
  readonly #isText: boolean;
  readonly #suffix: string;

  private constructor(isText: boolean, suffix: string) {
    this.#isText = isText;
    this.#suffix = suffix;
  }

  /** @returns undefined for any other request. */
  static of(request: GatewayRequest): GrpcWebBridge | undefined {
    const match = GRPC_WEB.exec(request.header("content-type") ?? "");
    return match === null ? undefined : new GrpcWebBridge(match[1] !== undefined, match[2] ?? "");
  }

  /** Headers for the server, names and values by turns. */
  requestHeaders(headers: readonly string[]): string[] {
    const kept = headers.filter(
      (_, i) => !["content-type", "content-length", "te"].includes(headers[i - (i % 2)] ?? ""),
    );
    return [...kept, "content-type", `application/grpc${this.#suffix}`, "te", "trailers"];
  }

  requestBody(body: AsyncIterable<Buffer> | Buffer | null): AsyncIterable<Buffer> | Buffer | null {
    if (!this.#isText || body === null) return body;
    return Buffer.isBuffer(body) ? decoded(body.toString("latin1")) : decodedParts(body);
  }

  /** Whether an answer is gRPC's, so that it is to be translated. */
  takes(headers: IncomingHttpHeaders): boolean {
    return GRPC.test(headers["content-type"] ?? "");
  }

  /** Of an answer that it {@link takes}. */
  answerHeaders(headers: IncomingHttpHeaders): IncomingHttpHeaders {
    const suffix = GRPC.exec(headers["content-type"] ?? "")?.[1] ?? "";
    const changed = { ...headers, "content-type": `application/grpc-web${this.#isText ? "-text" : ""}${suffix}` };
    delete changed["content-length"];
    return changed;
  }

  data(chunk: Buffer): Buffer {
    return this.#isText ? Buffer.from(chunk.toString("base64"), "latin1") : chunk;
  }

  /** The trailers of the answer as the last frame of its body. */
  trailers(trailers: readonly string[]): Buffer {
    const lines: string[] = [];
    for (let i = 0; i + 1 < trailers.length; i += 2) lines.push(`${trailers[i] ?? ""}:${trailers[i + 1] ?? ""}\r\n`);
    const text = Buffer.from(lines.join(""), "latin1");
    const head = Buffer.alloc(FRAME_HEAD);
    head.writeUInt8(TRAILER_FRAME, 0);
    head.writeUInt32BE(text.length, 1);
    return this.data(Buffer.concat([head, text]));
  }
}

/** Base64 as gRPC-Web sends it: segments one after the other, each with its own padding. */
function decoded(text: string): Buffer {
  return Buffer.concat((text.match(/[^=]+=*/g) ?? []).map((segment) => Buffer.from(segment, "base64")));
}

async function* decodedParts(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let rest = "";
  for await (const chunk of body) {
    const text = rest + chunk.toString("latin1").replaceAll(/\s/g, "");
    const whole = text.length - (text.length % QUANTUM);
    rest = text.slice(whole);
    if (whole > 0) yield decoded(text.slice(0, whole));
  }
  if (rest !== "") yield decoded(rest);
}
