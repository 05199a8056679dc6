import type { Duplex, Readable } from "node:stream";

/** The answer to bytes that are no request: malformed, too slow, too many. */
export type Unreadable = 400 | 408 | 431;

/** The start of a request as it came, before anything of it has been checked. */
export interface RequestHead {
  readonly version: string;
  readonly method: string;
  readonly target: string;
  /** `:authority`, where the version has it. */
  readonly authority: string | undefined;
  /** Names and values by turns, without pseudo-headers. */
  readonly headers: readonly string[];
  /** Nothing of it could be read, so that it has this answer; everything else is empty. */
  readonly unreadable?: Unreadable | undefined;
}

/** Another protocol, which the client asks for on its connection or stream. */
export interface Upgrade {
  readonly protocol: string;
  /** The status by which it is accepted: none of the same class may answer anything else. */
  readonly acceptedBy: 101 | 200;
  /** The `sec-websocket-accept` of a backend that means it; undefined: the client asked by a key of its own. */
  readonly acceptKey?: string;
  /** Agrees. @returns The bytes of that protocol, both ways. */
  accept(headers: readonly string[]): Duplex;
}

/** What comes after the head of an answer. With nothing the head is all: gRPC tells its status so. */
export type Follows = "nothing" | "body" | "bodyAndTrailers";

/** Where a request came in. */
export interface Via {
  /** `address:port` of the listeners. */
  readonly socket: string;
  readonly scheme: "http" | "https";
}

/** One request of a client and the way back to it, in whichever version of HTTP. Headers are names and values by turns. */
export interface Downstream {
  readonly via: Via;
  readonly head: RequestHead;
  /** The other end's IP address. */
  readonly peer: string;
  /** SNI, lower-case; empty on cleartext and where the client named nothing. */
  readonly serverName: string;
  readonly body: Readable;
  readonly hasBody: boolean;
  /** Whether all of the request has come. */
  readonly complete: boolean;
  /** Of the request; known once its body has ended. */
  readonly trailers: readonly string[];
  readonly upgrade: Upgrade | undefined;
  /** Of the answer; 0 while there is none. */
  readonly status: number;
  /** Of the body of an answer that was sent whole, in bytes. */
  readonly answeredBytes: number;

  /** Asks for the body of a client that waits to be asked (`Expect: 100-continue`); of no effect with any other. */
  askForBody(): void;
  /** Nothing more is taken on the connection, where requests come one after the other. */
  takeNoMore(): void;
  /** Sends the head of an answer at once. */
  begin(status: number, headers: readonly string[], follows: Follows): void;
  /** @returns Whether the client keeps up. */
  write(chunk: Buffer): boolean;
  end(trailers: readonly string[]): void;
  /** Sends an answer whole; its length is said by `headers` or by the framing. */
  answer(status: number, headers: readonly string[], body: string): void;
  /** Breaks an answer off, so that it never looks whole. */
  cut(): void;
  /** Nobody wants the rest of the body. @param reading  Reads and drops it; absent: nobody has begun to read. */
  dropBody(reading?: Promise<void>): void;
  /** The answer has gone out whole, or nobody is there to get it. */
  onGone(listener: () => void): void;
  /** The client has caught up. */
  onDrain(listener: () => void): void;
  /** What comes of the request is none, before all of it was there. Without a listener its connection is cut. */
  onMalformed(listener: () => void): void;
}

/** Who takes requests in. */
export type Arrive = (downstream: Downstream) => void;
