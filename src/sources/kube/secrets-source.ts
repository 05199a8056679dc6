import { type Key, partsOf } from "../../api/keys.ts";
import { parseObject } from "../../api/objects.ts";
import type { ApiClient } from "../../kube/api-client.ts";
import { type Feed, ListWatch, type RawObject } from "../../kube/list-watch.ts";
import type { Store } from "../../snapshot/store.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { pathOf } from "./kube-source.ts";

export interface SecretsSourceParts {
  readonly client: ApiClient;
  readonly store: Store;
  readonly log: Logger;
  readonly random: () => number;
  readonly changed: () => void;
  /** Who to grant rights to, in the hint for a Secret that may not be read. */
  readonly serviceAccount: string;
  /** Told why a Secret cannot be seen, and with undefined when it can, or is simply not there. */
  readonly problem: (key: Key<"Secret">, problem: string | undefined) => void;
}

/** Watches the Secrets that Gateways refer to, each by its name, and no other (S25). */
export class SecretsSource {
  readonly #parts: SecretsSourceParts;
  readonly #watches = new Map<Key<"Secret">, AbortController>();
  readonly #forbidden = new Map<Key<"Secret">, string>();
  /** Secrets that have been asked for and not yet been answered. */
  readonly #unread = new Set<Key<"Secret">>();
  #allRead: () => void = () => undefined;

  constructor(parts: SecretsSourceParts) {
    this.#parts = parts;
  }

  /** Resolves when every Secret that is wanted now has been read, refused or found missing, or when `signal` aborts. */
  async synced(signal: AbortSignal): Promise<void> {
    if (this.#unread.size === 0 || signal.aborted) return;
    await new Promise<void>((resolve) => {
      this.#allRead = resolve;
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  #read(key: Key<"Secret">): void {
    if (!this.#unread.delete(key)) return;
    this.#parts.problem(key, this.#forbidden.get(key));
    this.#parts.changed();
    if (this.#unread.size === 0) this.#allRead();
  }

  /** Makes the watches those of `wanted`. Bytes of a Secret that is no longer wanted are forgotten. */
  follow(wanted: ReadonlySet<Key<"Secret">>, signal: AbortSignal): void {
    for (const [key, watch] of this.#watches) {
      if (wanted.has(key)) continue;
      watch.abort();
      this.#watches.delete(key);
      this.#forbidden.delete(key);
      this.#parts.store.remove(key);
      this.#parts.problem(key, undefined);
      this.#read(key);
    }
    for (const key of wanted) if (!this.#watches.has(key)) this.#watch(key, signal);
  }

  #watch(key: Key<"Secret">, signal: AbortSignal): void {
    const { client, log, random } = this.#parts;
    const { namespace, name } = partsOf(key);
    const stop = new AbortController();
    this.#watches.set(key, stop);
    this.#unread.add(key);
    this.#parts.problem(key, `Secret ${namespace}/${name} has not been read yet`);
    const watch = new ListWatch({
      client,
      path: pathOf("Secret", namespace),
      selector: { fieldSelector: `metadata.name=${name}` },
      feed: this.#feed(key),
      log,
      random,
      absentWhen: ["notFound", "forbidden"],
    });
    void watch.start(AbortSignal.any([stop.signal, signal]));
  }

  #feed(key: Key<"Secret">): Feed {
    const { store, changed } = this.#parts;
    const apply = (raw: RawObject | undefined): void => {
      const parsed = raw === undefined ? undefined : parseObject("Secret", raw);
      if (parsed?.ok === true) store.apply(parsed.object);
      else store.remove(key);
    };
    return {
      replace: (items) => {
        apply(items[0]);
        changed();
      },
      events: (events) => {
        for (const { type, object } of events) apply(type === "DELETED" ? undefined : object);
        changed();
      },
      synced: () => this.#read(key),
      failed: (error) => this.#setForbidden(key, error?.code === "forbidden"),
      restarted: () => undefined,
    };
  }

  #hint(key: Key<"Secret">): string {
    const { namespace, name } = partsOf(key);
    const { serviceAccount } = this.#parts;
    return `Secret ${namespace}/${name} may not be read; run: kubectl -n ${namespace} create rolebinding serviceroute-secrets --clusterrole=serviceroute-secrets --serviceaccount=${serviceAccount}`;
  }

  #setForbidden(key: Key<"Secret">, isForbidden: boolean): void {
    if (this.#forbidden.has(key) === isForbidden) return;
    if (isForbidden) this.#forbidden.set(key, this.#hint(key));
    else this.#forbidden.delete(key);
    if (!this.#unread.has(key)) this.#parts.problem(key, this.#forbidden.get(key));
    this.#parts.changed();
  }
}
