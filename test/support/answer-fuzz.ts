import { type Socket, connect } from "node:net";
import { startRaw } from "./backend.ts";
import { type Message, parseMessage } from "./wire-text.ts";

/** What a backend does when it has answered. */
export const ENDINGS = ["keep", "fin", "reset", "more"] as const;
export interface OddAnswer {
  readonly bytes: Buffer;
  readonly ending: (typeof ENDINGS)[number];
}

const LIMIT_MS = 5000;
const RESET_MS = 20;
/**
 * An answer, marked where its head still begins as one, so that it can be told where it has come from; `more` is a
 * second one with it. Not later: what comes when the next thing has been asked is its answer for all that anybody can tell.
 */
export function oddAnswer(bytes: Buffer, number: number, ending: OddAnswer["ending"]): OddAnswer {
  const mark = `x-fuzz: ${number}\r\n`;
  const text = bytes.toString("latin1").replace(/^HTTP\/1\.[01] .*\r\n/, (start) => start + mark);
  const more = ending === "more" ? `HTTP/1.1 200 OK\r\n${mark}content-length: 4\r\n\r\nevil` : "";
  return { bytes: Buffer.from(text + more, "latin1"), ending };
}

/** Answers `/odd/N` with what was set for N, and `/even/N` as one should. */
export class OddBackend {
  readonly odd = new Map<number, OddAnswer>();
  readonly dirt: string[] = [];
  #raw: Awaited<ReturnType<typeof startRaw>> | undefined;

  get port(): number {
    return this.#raw?.port ?? 0;
  }

  async start(): Promise<void> {
    this.#raw = await startRaw((socket) => this.#serve(socket));
  }

  async stop(): Promise<void> {
    await this.#raw?.stop();
  }

  #serve(socket: Socket): void {
    let bytes: Buffer = Buffer.alloc(0);
    socket.on("data", (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      const parsed = parseMessage(bytes, false, false);
      if (parsed.kind === "malformed") this.dirt.push(parsed.why);
      if (parsed.kind !== "message") return;
      bytes = parsed.rest;
      const [, kind = "", number = ""] = /^GET \/(odd|even)\/([0-9]+) /.exec(parsed.message.start) ?? [];
      if (kind === "even") socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${number.length}\r\n\r\n${number}`);
      else this.#answerOddly(socket, Number(number));
    });
  }

  #answerOddly(socket: Socket, number: number): void {
    const odd = this.odd.get(number);
    if (odd === undefined) return;
    socket.write(odd.bytes);
    if (odd.ending === "fin") socket.end();
    else if (odd.ending === "reset") setTimeout(() => socket.resetAndDestroy(), RESET_MS);
  }
}

/**
 * Asks for one thing and reads to its answer's end.
 *
 * @returns  The whole answer; `cut` where the connection ended before that, and `hung` where nothing did.
 */
async function answerTo(socket: Socket, path: string): Promise<Message | "cut" | "hung" | "unclean"> {
  let bytes: Buffer = Buffer.alloc(0);
  socket.write(`GET ${path} HTTP/1.1\r\nhost: a.example.com\r\n\r\n`);
  return new Promise((resolve) => {
    const limit = setTimeout(() => done("hung"), LIMIT_MS);
    const done = (result: Message | "cut" | "hung" | "unclean"): void => {
      clearTimeout(limit);
      socket.off("data", read).off("close", ended);
      resolve(result);
    };
    const look = (isOver: boolean): void => {
      const parsed = parseMessage(bytes, false, isOver);
      if (parsed.kind === "malformed") return done("unclean");
      if (parsed.kind === "message") return done(parsed.rest.length > 0 ? "unclean" : parsed.message);
      if (isOver) done("cut");
    };
    const read = (chunk: Buffer): void => {
      bytes = Buffer.concat([bytes, chunk]);
      look(false);
    };
    const ended = (): void => look(true);
    socket.on("data", read).on("close", ended);
    if (socket.destroyed) ended();
  });
}

/** What a client is given for an odd answer, and for the next request: on the same connection where it is kept. */
export async function askOddly(
  port: number,
  number: number,
): Promise<{ odd: Message | string; even: Message | string }> {
  const opened = (): Socket => connect(port, "127.0.0.1").on("error", () => undefined);
  let socket = opened();
  const odd = await answerTo(socket, `/odd/${number}`);
  const isKept =
    typeof odd !== "string" && !odd.headers.some(([name, value]) => /^connection$/i.test(name) && /close/i.test(value));
  if (!isKept) {
    socket.destroy();
    socket = opened();
  }
  const even = await answerTo(socket, `/even/${number}`);
  socket.destroy();
  return { odd, even };
}
