import { once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { askHttp2, openHttp2 } from "./http2.ts";

export const STABLE = "stable.example.com";
/** Hosts that come and go. */
export const passing = (n: number): string => `h${n}.churn.example.com`;

/** What was asked in many ways, and how it went. */
export class SoakLoad {
  readonly outcomes = new Map<string, number>();
  /** What should not have been. */
  readonly unexpected = new Map<string, number>();
  sent = 0;
  readonly #port: number;
  /** The newest of the hosts that come and go. */
  readonly #newest: () => number;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 16 });
  #isRunning = true;
  #busy = 0;
  #rest: Promise<void> | undefined;
  #wake = (): void => undefined;

  constructor(port: number, newest: () => number) {
    this.#port = port;
    this.#newest = newest;
  }

  /** Asks until {@link stop}, so many at a time of each kind. */
  async run(ofEach: number): Promise<void> {
    const kinds = [
      this.#kept,
      this.#fresh,
      this.#upload,
      this.#passing,
      this.#nobody,
      this.#leaves,
      this.#http2,
      this.#chat,
    ];
    const loops = kinds.flatMap((kind) => Array.from({ length: ofEach }, async () => this.#loop(kind)));
    await Promise.all(loops);
    this.#agent.destroy();
  }

  stop(): void {
    this.#isRunning = false;
  }

  /** Resolves when all that was asked is answered and nothing is kept open: what the gateway holds then, it holds for nobody. */
  async rest(): Promise<void> {
    this.#rest = new Promise((resolve) => (this.#wake = resolve));
    while (this.#busy > 0) await sleep(10);
    this.#agent.destroy();
  }

  wake(): void {
    this.#wake();
  }

  async #loop(kind: () => Promise<[outcome: string, isExpected: boolean]>): Promise<void> {
    while (this.#isRunning) {
      await this.#rest;
      this.#busy++;
      const [outcome, isExpected] = await kind.call(this);
      this.#busy--;
      this.sent++;
      this.outcomes.set(outcome, (this.outcomes.get(outcome) ?? 0) + 1);
      if (!isExpected) this.unexpected.set(outcome, (this.unexpected.get(outcome) ?? 0) + 1);
    }
  }

  async #ask(
    host: string,
    options: { path?: string; body?: Buffer; agent?: Agent | false; leave?: boolean } = {},
  ): Promise<string> {
    const { path = `/p/${this.sent}?q=${this.sent}`, body, agent = this.#agent, leave = false } = options;
    return new Promise((resolve) => {
      const method = body === undefined ? "GET" : "POST";
      const asked = { host: "127.0.0.1", port: this.#port, method, path, headers: { host }, agent };
      const outgoing = request(asked, (incoming: IncomingMessage) => {
        incoming.resume();
        incoming.on("end", () => resolve(String(incoming.statusCode ?? 0)));
        incoming.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
        if (leave) incoming.destroy();
        if (leave) resolve("left");
      });
      outgoing.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
      outgoing.end(body);
    });
  }

  async #kept(): Promise<[string, boolean]> {
    const status = await this.#ask(STABLE);
    return [status, status === "200"];
  }

  async #fresh(): Promise<[string, boolean]> {
    const status = await this.#ask(STABLE, { agent: false });
    return [`fresh ${status}`, status === "200"];
  }

  async #upload(): Promise<[string, boolean]> {
    const status = await this.#ask(STABLE, { body: Buffer.alloc(200_000, "u") });
    return [`upload ${status}`, status === "200"];
  }

  async #passing(): Promise<[string, boolean]> {
    const status = await this.#ask(passing(Math.max(this.#newest() - Math.floor(Math.random() * 40), 0)));
    return [`passing ${status}`, status === "200" || status === "404"];
  }

  async #nobody(): Promise<[string, boolean]> {
    const status = await this.#ask(`n${this.sent}.nobody.example.org`);
    return [`nobody ${status}`, status === "404"];
  }

  /** Goes away as soon as an answer begins. */
  async #leaves(): Promise<[string, boolean]> {
    const outcome = await this.#ask(STABLE, { path: "/large", agent: false, leave: true });
    return [outcome, outcome === "left"];
  }

  async #http2(): Promise<[string, boolean]> {
    const session = await openHttp2(`http://127.0.0.1:${this.#port}`);
    const replies = await Promise.all(
      Array.from({ length: 5 }, async () => askHttp2(session, `/two/${this.sent}`, { authority: STABLE })),
    );
    session.close();
    const statuses = [...new Set(replies.map(({ status }) => status))].join(" ");
    return [`h2 ${statuses}`, statuses === "200"];
  }

  async #chat(): Promise<[string, boolean]> {
    const socket = new WebSocket(`ws://127.0.0.1:${this.#port}/chat`, { headers: { host: STABLE } });
    try {
      await once(socket, "open");
      socket.send("hello");
      const [data] = (await once(socket, "message")) as [Buffer];
      return [`chat ${data.toString()}`, data.toString() === "hello"];
    } catch (error) {
      return [`chat ${(error as Error).message}`, false];
    } finally {
      socket.close();
    }
  }
}
