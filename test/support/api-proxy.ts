import { readFileSync, writeFileSync } from "node:fs";
import { type IncomingMessage, type Server, type ServerResponse, createServer } from "node:http";
import { Agent, request } from "node:https";
import type { AddressInfo } from "node:net";
import { stringify } from "yaml";
import { join } from "node:path";
import type { Cluster } from "./cluster.ts";

/** What to do with a call: let it through, hold it until told otherwise, or answer it with a status. */
export type Fault = "pass" | "hold" | number;

/** Stands before the API server with an admin's rights, and can hold or break what passes through. */
export class ApiProxy {
  /** Asked for every call, and again for those on hold whenever {@link release} is called. */
  fault: (path: string, method: string) => Fault = () => "pass";
  readonly kubeconfig: string;
  readonly #server: Server;
  readonly #held = new Set<() => void>();
  readonly #open = new Set<ServerResponse>();
  readonly #cluster: Cluster;
  readonly #agent: Agent;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.kubeconfig = join(cluster.folder, "proxy.kubeconfig");
    const read = (name: string): Buffer => readFileSync(cluster.pki.path(name));
    this.#agent = new Agent({ keepAlive: true, ca: read("ca.crt"), cert: read("admin.crt"), key: read("admin.key") });
    this.#server = createServer((incoming, response) => this.#take(incoming, response));
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    const { port } = this.#server.address() as AddressInfo;
    const config = {
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "c", cluster: { server: `http://127.0.0.1:${port}` } }],
      users: [{ name: "u", user: {} }],
      contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
      "current-context": "x",
    };
    writeFileSync(this.kubeconfig, stringify(config));
    return this;
  }

  /** Ends every answer that is under way, watches above all. */
  cut(): void {
    for (const response of this.#open) response.destroy();
  }

  /** Looks again at everything that is on hold. */
  release(): void {
    for (const again of [...this.#held]) again();
  }

  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
    this.#agent.destroy();
  }

  #take(incoming: IncomingMessage, response: ServerResponse): void {
    const fault = this.fault(incoming.url ?? "/", incoming.method ?? "GET");
    if (fault === "pass") return this.#forward(incoming, response);
    if (fault === "hold") {
      const again = (): void => {
        this.#held.delete(again);
        if (!response.destroyed) this.#take(incoming, response);
      };
      this.#held.add(again);
      return;
    }
    incoming.resume();
    const status = {
      kind: "Status",
      apiVersion: "v1",
      status: "Failure",
      code: fault,
      message: "etcdserver: request timed out",
    };
    response.writeHead(fault, { "content-type": "application/json" }).end(JSON.stringify(status));
  }

  #forward(incoming: IncomingMessage, response: ServerResponse): void {
    const { url = "/", method = "GET", headers } = incoming;
    this.#open.add(response);
    const target = new URL(url, this.#cluster.server);
    const outgoing = request(
      target,
      { method, headers: { ...headers, host: target.host }, agent: this.#agent },
      (reply) => {
        response.writeHead(reply.statusCode ?? 502, reply.headers);
        response.flushHeaders();
        reply.pipe(response);
        reply.on("error", () => response.destroy());
      },
    );
    outgoing.on("error", () => response.destroy());
    response.on("close", () => {
      this.#open.delete(response);
      outgoing.destroy();
    });
    incoming.pipe(outgoing);
  }
}
