import { EventEmitter } from "node:events";
import { type Socket, connect } from "node:net";
import type { Dispatcher } from "undici";

const END_OF_HEAD = "\r\n\r\n";

/**
 * What undici's Client is not: whatever comes on its connection is the answer to what is asked next. The protections
 * run puts it in Client's place, to see that the tests of unasked bytes notice (S18, F48).
 */
export class Client extends EventEmitter {
  readonly #url: URL;
  #socket: Socket | undefined;
  #unread = Buffer.alloc(0);
  #read: (() => void) | undefined;
  destroyed = false;

  constructor(url: string) {
    super();
    this.#url = new URL(url);
  }

  async destroy(): Promise<void> {
    this.destroyed = true;
    this.#socket?.destroy();
    return Promise.resolve();
  }

  dispatch({ method, path, headers }: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    const socket = (this.#socket ??= this.#connected());
    const controller = {
      abort: () => void this.destroy(),
      pause: () => undefined,
      resume: () => undefined,
    } as unknown as Dispatcher.DispatchController;
    handler.onRequestStart?.(controller, undefined);
    const fields = (headers as string[]).map((text, i) => text + (i % 2 === 0 ? ": " : "\r\n"));
    socket.write(`${method} ${path} HTTP/1.1\r\n${fields.join("")}\r\n`);
    this.#read = () => this.#answer(method, controller, handler);
    this.#read();
  }

  #connected(): Socket {
    const socket = connect(Number(this.#url.port), this.#url.hostname);
    socket.on("error", () => undefined).on("close", () => this.emit("disconnect"));
    return socket.on("data", (bytes: Buffer) => {
      this.#unread = Buffer.concat([this.#unread, bytes]);
      this.#read?.();
    });
  }

  #answer(method: string, controller: Dispatcher.DispatchController, handler: Dispatcher.DispatchHandler): void {
    const end = this.#unread.indexOf(END_OF_HEAD);
    if (end < 0) return;
    const head = this.#unread.toString("latin1", 0, end);
    const status = Number(head.split(" ")[1]);
    const said = Number(/^content-length: ([0-9]+)$/im.exec(head)?.[1] ?? 0);
    const length = method === "HEAD" || status === 204 || status === 304 ? 0 : said;
    const rest = this.#unread.subarray(end + END_OF_HEAD.length);
    if (rest.length < length) return;
    this.#read = undefined;
    this.#unread = Buffer.from(rest.subarray(length));
    handler.onResponseStart?.(controller, status, length > 0 ? { "content-length": String(length) } : {});
    if (length > 0) handler.onResponseData?.(controller, Buffer.from(rest.subarray(0, length)));
    handler.onResponseEnd?.(controller, {});
  }
}
