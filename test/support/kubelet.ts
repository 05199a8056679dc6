import type { ChildProcess } from "node:child_process";
import { join } from "node:path";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { KubeConfig } from "@kubernetes/client-node";
import { ApiClient } from "../../src/kube/api-client.ts";
import { ListWatch, type RawObject } from "../../src/kube/list-watch.ts";
import { createLogger } from "../../src/telemetry/logger.ts";
import type { Cluster } from "./cluster.ts";
import { NODE_IP, type PodFiles, startPodProcess } from "./pod-process.ts";
import { type Pod, type Probe, unsupported } from "./pod-spec.ts";

const NODE = "process-node";
const API = "198.51.100.1";

interface Running {
  readonly pod: Pod;
  readonly ip: string;
  readonly lines: string[];
  child: ChildProcess | undefined;
  ready: boolean;
  restarts: number;
  ending: boolean;
}

/** An image: a file tree and what it starts. */
export interface Image {
  readonly rootfs: string;
  readonly entrypoint: readonly string[];
}

const sleep = async (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Runs pods as processes: probes, preStop, grace, tokens, volumes, users. A pod that asks for more fails. */
export class ProcessKubelet {
  readonly #cluster: Cluster;
  readonly #images: ReadonlyMap<string, Image>;
  readonly #client: ApiClient;
  readonly #pods = new Map<string, Running>();
  readonly #stop = new AbortController();
  #next = 1;

  constructor(cluster: Cluster, images: ReadonlyMap<string, Image>) {
    this.#cluster = cluster;
    this.#images = images;
    const config = new KubeConfig();
    config.loadFromFile(cluster.kubeconfig);
    this.#client = new ApiClient(config);
  }

  async start(): Promise<this> {
    execFileSync("ip", ["addr", "replace", `${NODE_IP}/32`, "dev", "lo"]);
    writeFileSync("/proc/sys/net/ipv4/ip_forward", "1");
    await this.#client.json({
      method: "POST",
      path: "/api/v1/nodes",
      body: { apiVersion: "v1", kind: "Node", metadata: { name: NODE } },
    });
    const status = {
      addresses: [{ type: "InternalIP", address: NODE_IP }],
      conditions: [
        {
          type: "Ready",
          status: "True",
          reason: "ProcessKubelet",
          message: "",
          lastHeartbeatTime: new Date(),
          lastTransitionTime: new Date(),
        },
      ],
    };
    await this.#patch("/api/v1/nodes/process-node/status", { status });
    void new ListWatch({
      client: this.#client,
      path: "/api/v1/pods",
      log: createLogger("silent"),
      random: Math.random,
      absentWhen: [],
      feed: {
        replace: (items) => items.forEach((item) => this.#seen(item)),
        events: (events) => events.forEach(({ object }) => this.#seen(object)),
        synced: () => undefined,
        failed: () => undefined,
        restarted: () => undefined,
      },
    }).start(this.#stop.signal);
    return this;
  }

  stop(): void {
    this.#stop.abort();
    for (const { child } of this.#pods.values()) child?.kill("SIGKILL");
  }

  /** What a pod has printed. */
  logs(prefix: string): string {
    return [...this.#pods.values()]
      .filter(({ pod }) => pod.metadata.name.startsWith(prefix))
      .flatMap(({ lines }) => lines)
      .join("\n");
  }

  /** Kills the process of one ready pod, as the kernel would. */
  kill(prefix: string): string {
    const found = [...this.#pods.values()].find(
      ({ pod, ready, ending }) => ready && !ending && pod.metadata.name.startsWith(prefix),
    );
    found?.child?.kill("SIGKILL");
    return found?.pod.metadata.name ?? "";
  }

  #seen(raw: RawObject): void {
    const pod = raw as unknown as Pod;
    const known = this.#pods.get(pod.metadata.uid);
    if (pod.metadata.deletionTimestamp !== undefined) {
      if (known !== undefined && !known.ending) void this.#end(known);
      return;
    }
    if (known === undefined) void this.#run(pod);
  }

  #path(pod: Pod): string {
    return `/api/v1/namespaces/${pod.metadata.namespace}/pods/${pod.metadata.name}`;
  }

  async #patch(path: string, body: unknown): Promise<void> {
    await this.#client.json({ method: "PATCH", path, contentType: "application/strategic-merge-patch+json", body });
  }

  async #run(pod: Pod): Promise<void> {
    const index = this.#next++;
    const running: Running = {
      pod,
      ip: `198.18.1.${index}`,
      lines: [],
      child: undefined,
      ready: false,
      restarts: 0,
      ending: false,
    };
    this.#pods.set(pod.metadata.uid, running);
    const problem = unsupported(pod);
    if (problem !== undefined)
      return this.#patch(`${this.#path(pod)}/status`, {
        status: { phase: "Failed", reason: "Unsupported", message: problem },
      });
    await this.#client.json({
      method: "POST",
      path: `${this.#path(pod)}/binding`,
      body: {
        apiVersion: "v1",
        kind: "Binding",
        metadata: { name: pod.metadata.name },
        target: { apiVersion: "v1", kind: "Node", name: NODE },
      },
    });
    while (!running.ending) {
      await this.#once(running, `p${index}r${running.restarts}`).catch((error: unknown) =>
        running.lines.push(String(error)),
      );
      running.restarts++;
      await sleep(500);
    }
  }

  /** From the start of the process to its end. */
  async #once(running: Running, veth: string): Promise<void> {
    const { pod } = running;
    const [container] = pod.spec.containers;
    if (container === undefined) return;
    const image = this.#images.get(container.image);
    if (image === undefined) throw new Error(`no image ${container.image}`);
    const child = await startPodProcess(
      {
        rootfs: image.rootfs,
        folder: join(this.#cluster.folder, "pods", veth),
        command: [...image.entrypoint, ...(container.args ?? [])],
        env: this.#env(running),
        uid: pod.spec.securityContext?.runAsUser ?? 0,
        gid: pod.spec.securityContext?.runAsGroup ?? 0,
        readOnlyRoot: container.securityContext?.readOnlyRootFilesystem ?? false,
        volumes: await this.#volumes(pod),
        ip: running.ip,
        veth,
      },
      (line) => running.lines.push(line),
    );
    running.child = child;
    const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    await this.#report(running, false);
    const probing = new AbortController();
    void this.#probe(running, container.readinessProbe, probing.signal, async (ok) => this.#report(running, ok));
    void this.#probe(running, container.livenessProbe, probing.signal, (ok) =>
      Promise.resolve(ok ? undefined : void child.kill("SIGKILL")),
    );
    await exited;
    probing.abort();
    if (!running.ending) await this.#report(running, false);
  }

  #env({ pod, ip }: Running): Record<string, string> {
    const fields: Readonly<Record<string, string>> = {
      "metadata.name": pod.metadata.name,
      "metadata.namespace": pod.metadata.namespace,
      "status.podIP": ip,
    };
    const own = (pod.spec.containers[0]?.env ?? []).map(({ name, value, valueFrom }) => [
      name,
      value ?? fields[valueFrom?.fieldRef?.fieldPath ?? ""] ?? "",
    ]);
    return {
      PATH: "/bin:/usr/bin",
      KUBERNETES_SERVICE_HOST: API,
      KUBERNETES_SERVICE_PORT: "6443",
      ...(Object.fromEntries(own) as Record<string, string>),
    };
  }

  async #volumes(pod: Pod): Promise<PodFiles> {
    const path = `/api/v1/namespaces/${pod.metadata.namespace}/serviceaccounts/${pod.spec.serviceAccountName ?? "default"}/token`;
    const { status } = await this.#client.json<{ status: { token: string } }>({
      method: "POST",
      path,
      body: { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: { expirationSeconds: 3600 } },
    });
    const ca = await this.#client.json<{ data: Record<string, string> }>({
      method: "GET",
      path: `/api/v1/namespaces/${pod.metadata.namespace}/configmaps/kube-root-ca.crt`,
    });
    const token = { token: status.token, "ca.crt": ca.data["ca.crt"] ?? "", namespace: pod.metadata.namespace };
    const empty = new Set(
      (pod.spec.volumes ?? []).filter((volume) => volume.emptyDir !== undefined).map(({ name }) => name),
    );
    const mounts = pod.spec.containers[0]?.volumeMounts ?? [];
    return {
      files: new Map([["/var/run/secrets/kubernetes.io/serviceaccount", token]]),
      writable: mounts.filter(({ name }) => empty.has(name)).map(({ mountPath }) => mountPath),
    };
  }

  async #probe(
    running: Running,
    probe: Probe | undefined,
    signal: AbortSignal,
    told: (ok: boolean) => Promise<void>,
  ): Promise<void> {
    let failures = 0;
    let last: boolean | undefined;
    while (!signal.aborted) {
      const ok = probe === undefined || (await this.#check(running, probe));
      failures = ok ? 0 : failures + 1;
      const next = ok ? true : failures >= (probe.failureThreshold ?? 3) ? false : last;
      if (next !== undefined && next !== last && !running.ending) await told((last = next)).catch(() => undefined);
      if (probe === undefined) return;
      await sleep((probe.periodSeconds ?? 10) * 1000);
    }
  }

  async #check({ pod, ip }: Running, { httpGet, timeoutSeconds = 1 }: Probe): Promise<boolean> {
    const named =
      pod.spec.containers[0]?.ports?.find(({ name }) => name === httpGet.port)?.containerPort ?? httpGet.port;
    const reply = await fetch(`http://${ip}:${named}${httpGet.path ?? "/"}`, {
      signal: AbortSignal.timeout(timeoutSeconds * 1000),
    }).catch(() => undefined);
    return reply?.ok === true;
  }

  async #report(running: Running, ready: boolean): Promise<void> {
    running.ready = ready;
    const { pod, ip } = running;
    const [container] = pod.spec.containers;
    const now = new Date();
    const condition = (type: string, ok: boolean) => ({ type, status: ok ? "True" : "False", lastTransitionTime: now });
    const alive = running.child?.exitCode === null && running.child.signalCode === null;
    const status = {
      phase: "Running",
      hostIP: NODE_IP,
      podIP: ip,
      podIPs: [{ ip }],
      conditions: [
        condition("PodScheduled", true),
        condition("Initialized", true),
        condition("ContainersReady", ready),
        condition("Ready", ready),
      ],
      containerStatuses: [
        {
          name: container?.name,
          image: container?.image,
          imageID: container?.image,
          ready,
          started: alive,
          restartCount: running.restarts,
          state: alive ? { running: { startedAt: now } } : { waiting: { reason: "CrashLoopBackOff" } },
        },
      ],
    };
    await this.#patch(`${this.#path(pod)}/status`, { status });
  }

  /** preStop, SIGTERM, grace, SIGKILL, gone. */
  async #end(running: Running): Promise<void> {
    running.ending = true;
    const { pod, child } = running;
    const grace = (pod.metadata.deletionGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 30) * 1000;
    const exited =
      child === undefined || child.exitCode !== null || child.signalCode !== null
        ? Promise.resolve()
        : new Promise<void>((resolve) => child.once("exit", () => resolve()));
    const killer = setTimeout(() => child?.kill("SIGKILL"), grace);
    await sleep((pod.spec.containers[0]?.lifecycle?.preStop?.sleep?.seconds ?? 0) * 1000);
    child?.kill("SIGTERM");
    await exited;
    clearTimeout(killer);
    // In the body: with one, the API server does not look at the query parameter.
    await this.#client
      .json({
        method: "DELETE",
        path: this.#path(pod),
        body: { gracePeriodSeconds: 0, preconditions: { uid: pod.metadata.uid } },
      })
      .catch(() => undefined);
  }
}
