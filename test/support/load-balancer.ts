import { connect, createServer, type Server, type Socket } from "node:net";
import type { Cluster } from "./cluster.ts";

interface Slice {
  readonly endpoints?: readonly {
    readonly addresses: readonly string[];
    readonly conditions?: { readonly ready?: boolean };
  }[];
  readonly ports?: readonly { readonly name?: string; readonly port: number }[];
}

/** An address for one LoadBalancer Service: each new connection goes to the next pod that is ready now. */
export class LoadBalancer {
  readonly #cluster: Cluster;
  readonly #address: string;
  readonly #service: readonly [namespace: string, name: string];
  readonly #servers: Server[] = [];
  readonly #open = new Set<Socket>();
  #endpoints: { address: string; ports: ReadonlyMap<string, number> }[] = [];
  #turn = 0;
  #polling: NodeJS.Timeout | undefined;

  constructor(cluster: Cluster, service: readonly [namespace: string, name: string], address: string) {
    this.#cluster = cluster;
    this.#service = service;
    this.#address = address;
  }

  async start(): Promise<this> {
    const [namespace, name] = this.#service;
    const { spec } = await this.#cluster.get<{ spec: { ports: { name: string; port: number }[] } }>([
      "-n",
      namespace,
      "service",
      name,
    ]);
    for (const { name: portName, port } of spec.ports) await this.#listen(portName, port);
    await this.#refresh();
    this.#polling = setInterval(() => void this.#refresh().catch(() => undefined), 250);
    await this.#cluster.kubectl([
      "-n",
      namespace,
      "patch",
      "service",
      name,
      "--subresource=status",
      "--type=merge",
      "-p",
      JSON.stringify({ status: { loadBalancer: { ingress: [{ ip: this.#address }] } } }),
    ]);
    return this;
  }

  stop(): void {
    clearInterval(this.#polling);
    for (const socket of this.#open) socket.destroy();
    for (const server of this.#servers) server.close();
  }

  async #listen(portName: string, port: number): Promise<void> {
    const server = createServer((client) => this.#carry(client, portName));
    await new Promise<void>((resolve) => server.listen(port, this.#address, resolve));
    this.#servers.push(server);
  }

  async #refresh(): Promise<void> {
    const [namespace, name] = this.#service;
    const { items } = await this.#cluster.get<{ items: Slice[] }>([
      "-n",
      namespace,
      "endpointslices",
      "-l",
      `kubernetes.io/service-name=${name}`,
    ]);
    this.#endpoints = items.flatMap(({ endpoints, ports }) => {
      const byName = new Map((ports ?? []).map((port) => [port.name ?? "", port.port]));
      return (endpoints ?? [])
        .filter(({ conditions }) => conditions?.ready === true)
        .map(({ addresses }) => ({ address: addresses[0] ?? "", ports: byName }));
    });
  }

  #carry(client: Socket, portName: string): void {
    const endpoint = this.#endpoints[this.#turn++ % Math.max(1, this.#endpoints.length)];
    const port = endpoint?.ports.get(portName);
    if (endpoint === undefined || port === undefined) return void client.destroy();
    const pod = connect(port, endpoint.address);
    for (const [socket, other] of [
      [client, pod],
      [pod, client],
    ] as const) {
      this.#open.add(socket);
      socket.on("error", () => other.destroy());
      socket.on("close", () => {
        this.#open.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  }
}
