/** K3s in a container: the last resort where nothing can be built, for suites that only ask the API server. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Provider } from "./provider.ts";
import type { Say } from "./go.ts";

const FOLDER = join(import.meta.dirname, "k3s");
const IMAGE = "rancher/k3s:v1.34.1-k3s1";
const ENGINE_MS = 5000;
const IMAGE_MS = 120_000;

/** What is used of testcontainers, which is not there when types are checked. */
interface Testcontainers {
  getContainerRuntimeClient(): Promise<unknown>;
}
interface K3sModule {
  K3sContainer: new (image: string) => {
    withStartupTimeout(milliseconds: number): { start(): Promise<StartedK3s> };
  };
}
interface StartedK3s {
  getKubeConfig(): string;
  stop(): Promise<unknown>;
}

async function load<T>(name: string): Promise<T> {
  const resolved = createRequire(join(FOLDER, "package.json")).resolve(name);
  return (await import(pathToFileURL(resolved).href)) as T;
}

async function within<T>(milliseconds: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} within ${milliseconds / 1000} s`)), milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** @throws When there is no kubectl, no engine, or no image in time; says which. */
export async function startK3s(say: Say): Promise<Provider> {
  try {
    execFileSync("kubectl", ["version", "--client"], { stdio: "ignore" });
  } catch {
    throw new Error("K3s needs kubectl on the PATH; install it, or Go 1.26 to build a control plane");
  }
  execFileSync("npm", ["ci", "--ignore-scripts", "--silent"], { cwd: FOLDER, stdio: "inherit" });
  const testcontainers = await load<Testcontainers>("testcontainers");
  await within(ENGINE_MS, "no container engine answered", testcontainers.getContainerRuntimeClient()).catch(
    (error: unknown) => {
      throw new Error(`K3s needs a container engine, or install Go 1.26: ${String(error)}`);
    },
  );
  say(`starting ${IMAGE}`);
  const { K3sContainer } = await load<K3sModule>("@testcontainers/k3s");
  const starting = new K3sContainer(IMAGE).withStartupTimeout(IMAGE_MS).start();
  const started = await within(IMAGE_MS, `${IMAGE} did not run`, starting);
  const folder = mkdtempSync(join(tmpdir(), "serviceroute-k3s-"));
  const kubeconfig = join(folder, "kubeconfig");
  writeFileSync(kubeconfig, started.getKubeConfig(), { mode: 0o600 });
  return {
    env: { SERVICEROUTE_TEST_KUBECONFIG: kubeconfig },
    description: `K3s in a container, ${IMAGE}`,
    stop: async () => {
      await started.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
