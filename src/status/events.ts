import { type Key, partsOf } from "../api/keys.ts";
import { apiVersionOf } from "../api/kinds.ts";
import type { Condition } from "../api/condition.ts";
import type { ApiClient } from "../kube/api-client.ts";
import type { Logger } from "../telemetry/logger.ts";

const CONTROLLER = "serviceroute.dev/controller";
const TOLD = ["Accepted", "ResolvedRefs", "Programmed"];
/** The API server takes 1,024 bytes. */
export const MAX_NOTE = 1000;

export interface Happening {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly note: string;
}

/** What is worth an event: a condition that turned False, or that is True again after it was False. */
export function happenings(before: readonly Condition[], after: readonly Condition[]): Happening[] {
  return after.flatMap((now): Happening[] => {
    const old = before.find((c) => c.type === now.type);
    if (!TOLD.includes(now.type) || old?.status === now.status) return [];
    if (now.status === "False") return [{ type: "Warning", reason: now.reason, note: now.message.slice(0, MAX_NOTE) }];
    const news = now.status === "True" && (old?.status === "False" || now.type === "Programmed");
    return news ? [{ type: "Normal", reason: now.reason, note: now.message.slice(0, MAX_NOTE) }] : [];
  });
}

/** Tells of transitions as Kubernetes events. An event that cannot be written is no reason to try again. */
export class EventRecorder {
  readonly #client: ApiClient;
  readonly #log: Logger;
  readonly #identity: string;
  #count = 0;

  constructor(client: ApiClient, log: Logger, identity: string) {
    this.#client = client;
    this.#log = log;
    this.#identity = identity;
  }

  record(key: Key, uid: string, before: readonly Condition[], after: readonly Condition[]): void {
    for (const happening of happenings(before, after)) this.tell(key, uid, happening);
  }

  tell(key: Key, uid: string, happening: Happening): void {
    this.#post(key, uid, happening).catch((error: unknown) =>
      this.#log.debug({ object: key, err: error }, "an event could not be written"),
    );
  }

  async #post(key: Key, uid: string, { type, reason, note }: Happening): Promise<void> {
    const { kind, namespace, name } = partsOf(key);
    // Events are namespaced: those of cluster-wide objects go where Kubernetes puts its own.
    const home = namespace === "" ? "default" : namespace;
    const now = new Date();
    const body = {
      apiVersion: "events.k8s.io/v1",
      kind: "Event",
      metadata: {
        name: `${name.slice(0, 200)}.${now.getTime().toString(16)}${(this.#count++ % 4096).toString(16)}`,
        namespace: home,
      },
      eventTime: now.toISOString().replace("Z", "000Z"),
      reportingController: CONTROLLER,
      reportingInstance: this.#identity,
      action: "Reconcile",
      type,
      reason,
      note,
      regarding: { apiVersion: apiVersionOf(kind), kind, ...(namespace === "" ? {} : { namespace }), name, uid },
    };
    await this.#client.json({ method: "POST", path: `/apis/events.k8s.io/v1/namespaces/${home}/events`, body });
  }
}
