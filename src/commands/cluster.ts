import type { Key } from "../api/keys.ts";
import type { Kind } from "../api/kinds.ts";
import type { ApiClient } from "../kube/api-client.ts";
import { KubeSource } from "../sources/kube/kube-source.ts";
import type { Provisioner } from "../provision/provisioner.ts";
import { LastGoodKeeper } from "../sources/last-good/last-good.ts";
import { type Referenced, ReferencedSource } from "../sources/kube/referenced-source.ts";
import { Leader } from "../status/leader.ts";
import { Replicas } from "../status/replicas.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { TranslateOptions } from "../translate/options.ts";
import { ServedBatches } from "../controller/served-batches.ts";
import { ClusterStatus } from "./cluster-status.ts";
import type { GatewayFactory } from "./data-plane.ts";
import { type Engine, createEngine, followTime } from "./engine.ts";
import { createProvisioner } from "./gateway-provisioning.ts";
import { Readiness } from "./readiness.ts";

export interface ClusterFlags {
  readonly namespace?: string;
  readonly leaderElect: boolean;
  readonly systemNamespace: string;
  readonly serviceAccount: string;
  readonly replicaName: string;
  readonly lastGoodFile?: string;
  readonly lastGoodMaxAge: number;
  readonly gatewayServices: boolean;
  readonly podService: string;
}

interface ClusterParts {
  readonly client: ApiClient;
  readonly log: Logger;
  readonly gateway: GatewayFactory;
  /** Whether proxies count for Programmed, and not replicas. */
  readonly proxies: boolean;
  readonly metrics: Metrics;
  readonly options: TranslateOptions;
  readonly flags: ClusterFlags;
  readonly signal: AbortSignal;
}

/** Kinds whose status is ours to write. */
const HAVE_STATUS: ReadonlySet<Kind> = new Set(["ServiceRoute", "Gateway", "GatewayClass"]);
/** A Secret that nobody answers for holds up the start no longer than this. */
const SECRETS_MS = 5000;
const monotonic = (): number => performance.now();

/** The stages between an API server and the pipeline, put together. */
export class Cluster {
  readonly engine: Engine;
  readonly source: KubeSource;
  /** Present with several replicas: alone there is nobody to report to. */
  readonly replicas: Replicas | undefined;
  readonly #parts: ClusterParts;
  readonly #leader: Leader;
  readonly #status: ClusterStatus;
  readonly #secrets: ReferencedSource;
  readonly #bundles: ReferencedSource;
  readonly #readiness = new Readiness();
  readonly #keeper: LastGoodKeeper | undefined;
  /** Before that a table may be of old objects: it is served, but nothing is written of it. */
  #isSynced = false;
  #othersServe = false;
  /** How far the lists of routes go that are published, and not known to be served yet. */
  readonly #listed = new ServedBatches<Kind, string>(
    (served) => this.engine.gateway.whenServed(served),
    (batch) => batch.forEach((version) => this.replicas?.served(version)),
  );

  constructor(parts: ClusterParts) {
    this.#parts = parts;
    const { client, log, metrics, flags } = parts;
    const { systemNamespace: namespace, replicaName: identity } = flags;
    const common = { client, log, random: Math.random };
    const changed = (): void => this.engine.controller.changed();
    this.#leader = new Leader({
      ...common,
      namespace,
      name: "serviceroute-leader",
      identity,
      monotonic,
      // One that gets no traffic leaves the lead to one that does, where there is one.
      mayLead: () => this.#isSynced && (this.notReady() === "" || !this.#othersServe),
    });
    this.#status = new ClusterStatus({
      ...{ client, log, metrics, identity },
      isLeader: () => this.#mayWrite(),
      gatewayClass: parts.options.gatewayClass,
      store: () => this.engine.store,
      controller: () => this.engine.controller,
    });
    this.engine = this.#createEngine();
    this.#secrets = this.#createSecrets();
    this.#bundles = this.#createBundles();
    this.#keeper = this.#createKeeper();
    this.engine.translator.onReferencedSecrets((keys) => this.#secrets.follow(keys, parts.signal));
    this.engine.translator.onReferencedBundles((keys) => this.#bundles.follow(keys, parts.signal));
    this.replicas = flags.leaderElect
      ? new Replicas({
          ...common,
          namespace,
          identity,
          monotonic,
          isReady: () => this.notReady() === "",
          listeners: () => this.engine.listeners.report(),
          reported: (others) => {
            this.engine.liveness.reported(others);
            this.engine.listeners.reported(others);
            if (others !== undefined) this.#othersServe = others.length > 0;
            this.engine.controller.changed();
          },
        })
      : undefined;
    this.source = new KubeSource({
      ...common,
      store: this.engine.store,
      metrics,
      namespace: flags.namespace,
      changed,
      onRaw: (kind, key, raw) => {
        if (HAVE_STATUS.has(kind)) this.#status.seen(key, raw);
      },
      onProgress: (version) => {
        this.#listed.add("ServiceRoute", version);
        this.#listed.published();
        if (this.#isSynced) this.#keeper?.confirmed();
      },
    });
  }

  /** The status that the API server has, or for what it does not know (the built-in gateway) the one that we want. */
  statusOf(key: Key): unknown {
    return this.#status.live.get(key)?.status ?? this.engine.controller.gatewayStatuses.get(key as Key<"Gateway">);
  }

  /** Why this replica should get no traffic; empty: it may. */
  notReady(): string {
    return this.#readiness.problem(this.engine);
  }

  /** Resolves when everything that the first table needs has been read once. */
  async synced(signal: AbortSignal): Promise<void> {
    await this.source.synced();
    const limit = AbortSignal.any([signal, AbortSignal.timeout(SECRETS_MS)]);
    await Promise.all([this.#secrets.synced(limit), this.#bundles.synced(limit)]);
    this.#isSynced = true;
    this.#keeper?.changed();
  }

  /** Reads the cluster until `reading` aborts; leads, reports and writes until `writing` does. */
  async start(reading: AbortSignal, writing: AbortSignal): Promise<void> {
    followTime(this.engine, reading);
    const elected = this.#parts.flags.leaderElect ? [this.#leader.start(writing)] : [];
    const provisioning = this.#provisioning().map(async (provisioner) => provisioner.start(writing));
    const reporting = this.replicas === undefined ? [] : [this.replicas.start(writing)];
    await Promise.all([
      this.source.start(reading),
      this.#status.writer.start(writing),
      ...elected,
      ...reporting,
      ...provisioning,
    ]);
  }

  #mayWrite(): boolean {
    return this.#isSynced && (!this.#parts.flags.leaderElect || this.#leader.isLeader);
  }

  #provisioning(): Provisioner[] {
    const { flags, client, log } = this.#parts;
    const { store, translator } = this.engine;
    const { systemNamespace, podService, gatewayServices } = flags;
    if (!gatewayServices) return [];
    return [
      createProvisioner({
        client,
        log,
        store,
        translator,
        isLeader: () => this.#mayWrite(),
        systemNamespace,
        podService,
      }),
    ];
  }

  /** Lets what is being written end. */
  async close(): Promise<void> {
    await this.#keeper?.stop();
  }

  /** What is gone has no status to write: a follower, which never writes, would remember it for ever. */
  #changed(keys: Iterable<Key>): void {
    this.#status.writer.mark([...keys].filter((key) => this.#status.live.has(key)));
    if (this.#isSynced) this.#keeper?.changed();
  }

  #createKeeper(): LastGoodKeeper | undefined {
    const { flags, options, log } = this.#parts;
    if (flags.lastGoodFile === undefined) return undefined;
    const { lastGoodFile: file } = flags;
    return new LastGoodKeeper({
      file,
      store: this.engine.store,
      builtin: options.builtin !== undefined,
      now: Date.now,
      failed: (error) => log.error({ file, err: error }, "the last good table could not be saved"),
    });
  }

  #createEngine(): Engine {
    const { log, gateway, proxies, metrics, options, flags } = this.#parts;
    return createEngine({
      options,
      gateway,
      proxies,
      log,
      metrics,
      replicas: flags.leaderElect,
      sink: {
        routesChanged: (keys) => this.#changed(keys),
        gatewaysChanged: (keys) => this.#changed(keys),
      },
      onListenerState: () => this.replicas?.publish(),
    });
  }

  #createSecrets(): ReferencedSource {
    const { serviceAccount } = this.#parts.flags;
    return this.#createReferenced(
      "Secret",
      (namespace, name) =>
        `Secret ${namespace}/${name} may not be read; run: kubectl -n ${namespace} create rolebinding serviceroute-secrets --clusterrole=serviceroute-secrets --serviceaccount=${serviceAccount}`,
      (key, problem) => this.engine.translator.setSecretProblem(key as Key<"Secret">, problem),
    );
  }

  #createBundles(): ReferencedSource {
    const hint = (namespace: string, name: string): string => `ConfigMap ${namespace}/${name} may not be read`;
    return this.#createReferenced("ConfigMap", hint, () => undefined);
  }

  #createReferenced(
    kind: Referenced,
    hint: (namespace: string, name: string) => string,
    problem: (key: Key<Referenced>, problem: string | undefined) => void,
  ): ReferencedSource {
    const { client, log } = this.#parts;
    const changed = (): void => this.engine.controller.changed();
    return new ReferencedSource({
      client,
      log,
      random: Math.random,
      store: this.engine.store,
      changed,
      kind,
      hint,
      problem,
    });
  }
}
