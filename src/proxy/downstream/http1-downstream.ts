import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex, Readable } from "node:stream";
import { TLSSocket } from "node:tls";
import { serverNameFor } from "../../routing/hostname.ts";
import type { Downstream, Follows, RequestHead, Unreadable, Upgrade, Via } from "./downstream.ts";
import { endSoon } from "./end-soon.ts";
import { joinPieces } from "../join-pieces.ts";
import { SmallPieces } from "../small-pieces.ts";
import { Unbound } from "./unbound.ts";

const NOTHING = Buffer.alloc(0);
/** How long the rest of a body that nobody wants is still read before its connection is cut. */
const LINGER_MS = 5000;
/** Whoever does not take an answer of ours gives its place up. */
export const UNTAKEN_MS = 60_000;

export interface Http1Parts {
  /** The client sends its body only when it is asked to. */
  readonly waits?: boolean;
  /** Of a connection that Node has let go of: what came on it after the request. */
  readonly unbound?: Buffer;
  /** See {@link RequestHead.unreadable}. */
  readonly unreadable?: Unreadable | undefined;
}

/** SNI as Node tells it: `false` where the client named nothing. */
export function serverNameOf(socket: object): string {
  const { servername } = socket as Partial<TLSSocket>;
  return typeof servername === "string" ? serverNameFor(servername) : "";
}

/** HTTP/1.1 and 1.0: one request after the other on a connection. */
export class Http1Downstream implements Downstream {
  readonly via: Via;
  readonly head: RequestHead;
  readonly peer: string;
  /** Dropped: no backend of HTTP/1.1 could rely on them, and none other asks for them. */
  readonly trailers: readonly string[] = [];
  readonly #incoming: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #waits: boolean;
  /** Whether the client wants to ask more on its connection. */
  readonly #keepAlive: boolean;
  readonly #unbound: Unbound | undefined;
  readonly #pieces: SmallPieces;
  answeredBytes = 0;
  #switched = false;
  #whenMalformed = (): void => this.cut();
  #hasBegun = false;
  #isBroken = false;

  constructor(
    via: Via,
    incoming: IncomingMessage,
    response: ServerResponse,
    { waits = false, unbound, unreadable }: Http1Parts,
  ) {
    this.via = via;
    this.#incoming = incoming;
    this.#response = response;
    this.#pieces = new SmallPieces(response);
    this.#waits = waits;
    this.#unbound = unbound === undefined ? undefined : this.#letGo(incoming, unbound);
    // Asked now: when its socket has closed nobody knows any more.
    this.peer = incoming.socket.remoteAddress ?? "";
    const { method = "", url = "", rawHeaders: headers, httpVersion: version } = incoming;
    this.head = { version, method, target: url, authority: undefined, headers, unreadable };
    if (version === "1.0") response.shouldKeepAlive = false;
    this.#keepAlive = response.shouldKeepAlive;
    // Whether the body of a client that was not asked comes after all cannot be told from its next request.
    if (waits) response.shouldKeepAlive = false;
    if (this.hasBody) joinPieces(incoming);
  }

  get serverName(): string {
    return serverNameOf(this.#incoming.socket);
  }
  get body(): Readable {
    return this.#incoming;
  }
  get hasBody(): boolean {
    const { headers } = this.#incoming;
    return (
      this.#unbound === undefined &&
      (headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0)
    );
  }
  get complete(): boolean {
    return this.#incoming.complete;
  }
  get status(): number {
    if (this.#switched) return 101;
    return this.#response.headersSent ? this.#response.statusCode : 0;
  }
  get upgrade(): Upgrade | undefined {
    if (this.#unbound === undefined) return undefined;
    return {
      acceptedBy: 101,
      protocol: this.#incoming.headers.upgrade ?? "",
      accept: (headers) => this.#switch(headers),
    };
  }

  askForBody(): void {
    if (!this.#waits) return;
    this.#response.shouldKeepAlive = this.#keepAlive;
    this.#response.writeContinue();
  }

  takeNoMore(): void {
    if (!this.#response.headersSent) this.#response.setHeader("connection", "close");
  }

  begin(status: number, headers: readonly string[], follows: Follows): void {
    this.#response.writeHead(status, [...headers]);
    // Sends the headers now and as Latin-1; flushHeaders would encode them as UTF-8.
    if (this.head.method !== "HEAD" && follows !== "nothing") this.#response.write(NOTHING);
  }

  write(chunk: Buffer): boolean {
    return this.#pieces.write(chunk);
  }

  end(): void {
    this.#response.end();
  }

  answer(status: number, headers: readonly string[], body: string): void {
    this.#response.writeHead(status, [...headers]);
    this.answeredBytes = this.head.method === "HEAD" ? 0 : Buffer.byteLength(body);
    const untaken = setTimeout(() => this.cut(), UNTAKEN_MS);
    this.#response.once("close", () => clearTimeout(untaken));
    this.#response.end(body);
  }

  cut(): void {
    const { socket } = this.#incoming;
    // Where the end of the connection is the end of the answer, only a reset tells that it is none.
    if (this.head.version === "1.0" && !(socket instanceof TLSSocket)) socket.resetAndDestroy();
    this.#response.destroy();
  }

  dropBody(reading?: Promise<void>): void {
    const { socket, complete, destroyed } = this.#incoming;
    if (complete || destroyed) return;
    const cut = setTimeout(() => socket.destroy(), LINGER_MS);
    this.#incoming.once("close", () => clearTimeout(cut));
    if (reading === undefined) this.#incoming.resume().once("end", () => clearTimeout(cut));
    else void reading.finally(() => clearTimeout(cut));
  }

  onGone(listener: () => void): void {
    this.#response.on("close", listener);
  }

  onDrain(listener: () => void): void {
    this.#response.on("drain", listener);
  }

  onMalformed(listener: () => void): void {
    this.#whenMalformed = listener;
  }

  /** Its turn has come. @returns Whether it still is a request: the rest of it may have turned out to be none. */
  turn(): boolean {
    this.#hasBegun = true;
    return !this.#isBroken;
  }

  /** What comes is no HTTP: the rest of this request, or what should have been the next one. */
  malformed(): void {
    const { complete, socket } = this.#incoming;
    this.takeNoMore();
    if (!complete && !this.#hasBegun) this.#isBroken = true;
    else if (!complete) this.#whenMalformed();
    else if (this.#response.writableFinished) endSoon(socket);
    else this.#response.once("finish", () => endSoon(socket));
  }

  #letGo({ socket }: IncomingMessage, head: Buffer): Unbound {
    const unbound = new Unbound(socket, head, () => {
      if (!this.#response.writableEnded) socket.destroy();
    });
    this.#response.once("finish", () => unbound.drop());
    return unbound;
  }

  #switch(headers: readonly string[]): Duplex {
    const socket: Duplex = this.#unbound?.take() ?? this.#incoming.socket;
    const protocol = this.#incoming.headers.upgrade ?? "";
    const lines = ["HTTP/1.1 101 Switching Protocols", "connection: upgrade", `upgrade: ${protocol}`];
    for (let i = 0; i + 1 < headers.length; i += 2) lines.push(`${headers[i] ?? ""}: ${headers[i + 1] ?? ""}`);
    this.#switched = true;
    socket.write(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
    return socket;
  }
}
