import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { Pki } from "./pki.ts";
import { Program, finish, type Finished } from "./processes.ts";
import { until } from "./data-plane.ts";

const API = "198.51.100.1";
const CONTROLLERS = [
  "deployment-controller",
  "resourcequota-controller",
  "replicaset-controller",
  "endpointslice-controller",
  "endpointslice-mirroring-controller",
  "serviceaccount-controller",
  "serviceaccount-token-controller",
  "namespace-controller",
  "garbage-collector-controller",
  "root-ca-certificate-publisher-controller",
].join(",");

/** A real control plane: etcd, kube-apiserver and kube-controller-manager in the test's own network namespace. */
export class Cluster {
  readonly folder = mkdtempSync(join(tmpdir(), "serviceroute-cluster-"));
  readonly kubeconfig = join(this.folder, "admin.kubeconfig");
  readonly auditLog = join(this.folder, "audit.log");
  readonly pki = new Pki(join(this.folder, "pki"));
  readonly server = `https://${API}:6443`;
  readonly #binaries: string;
  readonly #programs = new Map<string, Program>();

  constructor(binaries = process.env["SERVICEROUTE_CONTROL_PLANE"]) {
    if (binaries === undefined)
      throw new Error("SERVICEROUTE_CONTROL_PLANE is not set; run these tests with: npm run test:e2e");
    this.#binaries = binaries;
  }

  async start(): Promise<this> {
    this.pki.serviceAccountKeys();
    this.pki.issue("api", "/CN=kube-apiserver", `subjectAltName=IP:${API},IP:127.0.0.1,DNS:kubernetes.default.svc`);
    this.#user("admin", "/O=system:masters/CN=admin");
    this.#user("kcm", "/CN=system:kube-controller-manager");
    writeFileSync(
      join(this.folder, "audit.yaml"),
      stringify({
        apiVersion: "audit.k8s.io/v1",
        kind: "Policy",
        omitStages: ["RequestReceived"],
        rules: [{ level: "Metadata" }],
      }),
    );
    this.#startEtcd();
    await this.startApiServer();
    this.#run("kube-controller-manager", [
      `--kubeconfig=${join(this.folder, "kcm.kubeconfig")}`,
      "--bind-address=127.0.0.1",
      `--cert-dir=${join(this.folder, "kcm-certs")}`,
      "--leader-elect=false",
      "--use-service-account-credentials=true",
      `--service-account-private-key-file=${this.pki.path("sa.key")}`,
      `--root-ca-file=${this.pki.path("ca.crt")}`,
      "--kube-api-qps=200",
      "--kube-api-burst=400",
      `--controllers=${CONTROLLERS}`,
      "--resource-quota-sync-period=2s",
    ]);
    await until(
      "the default service account exists",
      async () => (await this.kubectl(["-n", "default", "get", "serviceaccount", "default"])).code === 0,
      60_000,
    );
    return this;
  }

  async stop(): Promise<void> {
    // etcd last: an API server whose etcd is gone hangs on the way out.
    for (const name of ["kube-controller-manager", "kube-apiserver", "etcd"])
      await this.#programs.get(name)?.stop("SIGTERM", 3000);
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Stops etcd in its tracks, or lets it go on: to its clients it hangs. */
  pauseEtcd(paused: boolean): void {
    this.#programs.get("etcd")?.child.kill(paused ? "SIGSTOP" : "SIGCONT");
  }

  /** Makes etcd forget every version but the newest, as it does by itself after minutes. */
  async compactEtcd(): Promise<void> {
    const call = async (path: string, body: object): Promise<{ header: { revision: string } }> =>
      (await (
        await fetch(`http://127.0.0.1:2379/v3/kv/${path}`, { method: "POST", body: JSON.stringify(body) })
      ).json()) as { header: { revision: string } };
    const { header } = await call("range", { key: Buffer.from("/").toString("base64") });
    await call("compaction", { revision: header.revision, physical: true });
  }

  async killApiServer(): Promise<void> {
    await this.#programs.get("kube-apiserver")?.stop("SIGKILL");
  }

  async startApiServer(): Promise<void> {
    const p = (name: string): string => this.pki.path(name);
    this.#run("kube-apiserver", [
      "--etcd-servers=http://127.0.0.1:2379",
      `--bind-address=${API}`,
      `--advertise-address=${API}`,
      "--secure-port=6443",
      "--service-cluster-ip-range=203.0.113.0/24",
      "--allow-privileged=true",
      "--authorization-mode=RBAC",
      `--tls-cert-file=${p("api.crt")}`,
      `--tls-private-key-file=${p("api.key")}`,
      `--client-ca-file=${p("ca.crt")}`,
      `--cert-dir=${join(this.folder, "api-certs")}`,
      "--service-account-issuer=https://kubernetes.default.svc",
      `--service-account-key-file=${p("sa.pub")}`,
      `--service-account-signing-key-file=${p("sa.key")}`,
      `--audit-policy-file=${join(this.folder, "audit.yaml")}`,
      `--audit-log-path=${this.auditLog}`,
      "--profiling=false",
    ]);
    await until(
      "the API server is ready",
      async () => (await this.kubectl(["get", "--raw", "/readyz"])).code === 0,
      90_000,
    );
  }

  async kubectl(args: readonly string[], input = "", kubeconfig = this.kubeconfig): Promise<Finished> {
    return finish(join(this.#binaries, "kubectl"), ["--kubeconfig", kubeconfig, ...args], input);
  }

  /** Applies manifests. @throws What kubectl said when it failed. */
  async apply(yaml: string): Promise<string> {
    const { code, stdout, stderr } = await this.kubectl(
      ["apply", "--server-side", "--force-conflicts", "-f", "-"],
      yaml,
    );
    if (code !== 0) throw new Error(stderr);
    return stdout;
  }

  async get<T>(args: readonly string[]): Promise<T> {
    const { code, stdout, stderr } = await this.kubectl(["get", ...args, "-o", "json"]);
    if (code !== 0) throw new Error(stderr);
    return JSON.parse(stdout) as T;
  }

  /** A kubeconfig for a service account, with a token of its own. */
  async tokenKubeconfig(namespace: string, name: string): Promise<string> {
    const { stdout } = await this.kubectl(["-n", namespace, "create", "token", name, "--duration=2h"]);
    return this.#writeKubeconfig(`${namespace}-${name}`, { token: stdout.trim() });
  }

  audit(): readonly {
    verb: string;
    user: { username: string };
    objectRef?: { resource?: string; subresource?: string; apiGroup?: string; name?: string };
    responseStatus?: { code?: number };
  }[] {
    return readFileSync(this.auditLog, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as never);
  }

  #startEtcd(): void {
    const [client, peer] = ["http://127.0.0.1:2379", "http://127.0.0.1:2380"];
    const listen = [
      "--listen-client-urls",
      client,
      "--advertise-client-urls",
      client,
      "--listen-peer-urls",
      peer,
      "--initial-advertise-peer-urls",
      peer,
    ];
    this.#run("etcd", [
      "--name",
      "e",
      "--data-dir",
      join(this.folder, "etcd"),
      ...listen,
      "--initial-cluster",
      `e=${peer}`,
      "--unsafe-no-fsync",
      "--log-level",
      "warn",
    ]);
  }

  #run(name: string, args: readonly string[]): void {
    this.#programs.set(
      name,
      new Program(name, join(this.#binaries, name), args, { logFile: join(this.folder, `${name}.log`) }),
    );
  }

  #user(name: string, subject: string): void {
    const { cert, key } = this.pki.issue(name, subject, "extendedKeyUsage=clientAuth");
    this.#writeKubeconfig(name, { "client-certificate": cert, "client-key": key });
  }

  #writeKubeconfig(name: string, user: object): string {
    const file = join(this.folder, `${name}.kubeconfig`);
    const config = {
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "c", cluster: { server: this.server, "certificate-authority": this.pki.path("ca.crt") } }],
      users: [{ name: "u", user }],
      contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
      "current-context": "x",
    };
    writeFileSync(file, stringify(config));
    return file;
  }
}
