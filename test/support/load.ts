import { Agent, type IncomingMessage, request } from "node:http";

export interface LoadTarget {
  readonly address: string;
  readonly port: number;
  readonly host: string;
  readonly path?: string;
}
export interface LoadReport {
  readonly sent: number;
  readonly failed: number;
  /** Count of each status, and of each error. */
  readonly outcomes: Readonly<Record<string, number>>;
}

async function once({ address, port, host, path = "/" }: LoadTarget, agent: Agent | false): Promise<string> {
  return new Promise((resolve) => {
    const outgoing = request({ host: address, port, path, headers: { host }, agent }, (incoming: IncomingMessage) => {
      incoming.resume();
      incoming.on("end", () => resolve(String(incoming.statusCode ?? 0)));
      incoming.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    });
    outgoing.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    outgoing.end();
  });
}

/** Requests without pause over kept connections and new ones, until `stop` is called; then says how they went. */
export function startLoad(
  target: LoadTarget,
  connections = 16,
): { readonly stop: () => Promise<LoadReport>; readonly sent: () => number } {
  const outcomes: Record<string, number> = {};
  let running = true;
  let sent = 0;
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const worker = async (index: number): Promise<void> => {
    while (running) {
      const outcome = await once(target, index % 4 === 0 ? false : agent);
      sent++;
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    }
  };
  const workers = Array.from({ length: connections }, async (_, i) => worker(i));
  return {
    sent: () => sent,
    stop: async () => {
      running = false;
      await Promise.all(workers);
      agent.destroy();
      return { sent, failed: sent - (outcomes["200"] ?? 0), outcomes };
    },
  };
}
