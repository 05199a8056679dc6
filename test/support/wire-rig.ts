import { type Socket, connect } from "node:net";
import { startRaw } from "./backend.ts";
import { type Message, bytesOf, parseMessage } from "./wire-text.ts";

const PART_MS = 30;
const LIMIT_MS = 5000;
/** Within which an answer too many would have come, and a connection that is to be closed is. */
const QUIET_MS = 60;

const pause = async (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A backend below HTTP that keeps what it gets, request by request, and answers each with the next text. */
export class WireBackend {
  readonly seen: Message[] = [];
  /** Bytes that are no clean request. */
  readonly dirt: string[] = [];
  replies: readonly Buffer[] = [];
  then: "keep" | "close" | "reset" = "keep";
  #raw: Awaited<ReturnType<typeof startRaw>> | undefined;

  get port(): number {
    return this.#raw?.port ?? 0;
  }

  async start(): Promise<this> {
    this.#raw = await startRaw((socket) => this.#serve(socket));
    return this;
  }

  async stop(): Promise<void> {
    await this.#raw?.stop();
  }

  expect(replies: readonly string[], then: WireBackend["then"]): void {
    this.seen.length = 0;
    this.dirt.length = 0;
    this.replies = replies.map(bytesOf);
    this.then = then;
  }

  #serve(socket: Socket): void {
    let bytes: Buffer = Buffer.alloc(0);
    socket.on("data", (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      for (;;) {
        const parsed = parseMessage(bytes, false, false);
        if (parsed.kind === "incomplete") return;
        if (parsed.kind === "malformed") {
          this.dirt.push(parsed.why);
          return socket.destroy();
        }
        bytes = parsed.rest;
        this.seen.push(parsed.message);
        this.#answer(socket);
      }
    });
  }

  #answer(socket: Socket): void {
    socket.write(this.replies[Math.min(this.seen.length, this.replies.length) - 1] ?? "");
    if (this.then === "close") socket.end();
    else if (this.then === "reset") setTimeout(() => socket.resetAndDestroy(), 10);
  }
}

export interface Conversation {
  readonly answers: readonly Message[];
  /** Bytes after the last whole answer. */
  readonly rest: string;
  readonly closed: boolean;
  readonly problem: string | undefined;
}

/** Sends these texts over one connection and reads until `count` answers are there, or the connection ends. */
export async function converse(
  port: number,
  sent: readonly Buffer[],
  { count, heads, waitForEnd }: { readonly count: number; readonly heads: boolean; readonly waitForEnd: boolean },
): Promise<Conversation> {
  const socket = connect({ port, host: "127.0.0.1" });
  let bytes: Buffer = Buffer.alloc(0);
  const state = { closed: false };
  socket.on("data", (chunk) => (bytes = Buffer.concat([bytes, chunk])));
  socket.on("error", () => undefined);
  socket.on("close", () => (state.closed = true));
  socket.on("end", () => (state.closed = true));
  void (async () => {
    for (const part of sent) {
      if (!socket.destroyed && socket.writable) socket.write(part);
      await pause(PART_MS);
    }
  })();
  const limit = Date.now() + LIMIT_MS;
  let read = readAll(bytes, heads, state.closed);
  while (!isEnough(read, count, waitForEnd, state.closed) && Date.now() < limit) {
    await pause(2);
    read = readAll(bytes, heads, state.closed);
  }
  await pause(QUIET_MS);
  read = readAll(bytes, heads, state.closed);
  socket.destroy();
  return { ...read, closed: state.closed };
}

const isEnough = (read: Omit<Conversation, "closed">, count: number, waitForEnd: boolean, closed: boolean): boolean =>
  closed || read.problem !== undefined || (!waitForEnd && read.answers.length >= count);

function readAll(bytes: Buffer, heads: boolean, ended: boolean): Omit<Conversation, "closed"> {
  const answers: Message[] = [];
  for (let rest = bytes; ;) {
    const parsed = rest.length === 0 ? ({ kind: "incomplete" } as const) : parseMessage(rest, heads, ended);
    if (parsed.kind === "incomplete") return { answers, rest: rest.toString("latin1"), problem: undefined };
    if (parsed.kind === "malformed") return { answers, rest: rest.toString("latin1"), problem: parsed.why };
    answers.push(parsed.message);
    rest = parsed.rest;
  }
}
