import { type IncomingMessage, type Server, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { KubeConfig } from "@kubernetes/client-node";
import { ApiClient } from "../../src/kube/api-client.ts";

export interface Call {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: unknown;
}
type Handler = (call: Call, response: ServerResponse, incoming: IncomingMessage) => void;

/** An API server that does exactly what a test scripts, for faults that a real one cannot be made to show. */
export class FakeApi {
  readonly calls: Call[] = [];
  handler: Handler;
  readonly #server: Server;

  constructor(handler: Handler) {
    this.handler = handler;
    this.#server = createServer((incoming, response) => {
      let text = "";
      incoming.on("data", (chunk: Buffer) => (text += chunk.toString()));
      incoming.on("end", () => {
        const url = new URL(incoming.url ?? "/", "http://api");
        const call = {
          method: incoming.method ?? "",
          path: url.pathname,
          query: url.searchParams,
          body: text === "" ? undefined : (JSON.parse(text) as unknown),
        };
        this.calls.push(call);
        this.handler(call, response, incoming);
      });
    });
  }

  async start(): Promise<ApiClient> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    const config = new KubeConfig();
    const { port } = this.#server.address() as AddressInfo;
    config.loadFromClusterAndUser(
      { name: "c", server: `http://127.0.0.1:${port}`, skipTLSVerify: true },
      { name: "u" },
    );
    return new ApiClient(config);
  }

  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  count(test: (call: Call) => boolean): number {
    return this.calls.filter(test).length;
  }
}

export const isWatch = ({ query }: Call): boolean => query.get("watch") === "true";

export function reply(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify(body));
}

export const object = (name: string, resourceVersion: string, more: object = {}): object => ({
  metadata: { name, namespace: "default", resourceVersion, uid: name, ...more },
});
export const list = (resourceVersion: string, items: readonly object[], next = ""): object => ({
  metadata: { resourceVersion, continue: next },
  items,
});
export const line = (type: string, value: object): string => `${JSON.stringify({ type, object: value })}\n`;
