/** Brings a real control plane, by the first of these that there is: given by the environment, built here, K3s in a container. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Say, goModule, goPrograms, isExecutable } from "./go.ts";
import { startK3s } from "./k3s.ts";
import type { Provider } from "./provider.ts";

const MODULE = join(import.meta.dirname, "kube");
const KUBE_VERSION =
  /k8s\.io\/kubernetes (v[0-9.]+)/.exec(readFileSync(join(MODULE, "go.mod"), "utf8"))?.[1] ?? "v0.0.0";
const [MAJOR = "", MINOR = ""] = KUBE_VERSION.slice(1).split(".");
const VERSION = "k8s.io/component-base/version";
const ldflags = `-X ${VERSION}.gitVersion=${KUBE_VERSION} -X ${VERSION}.gitMajor=${MAJOR} -X ${VERSION}.gitMinor=${MINOR}`;

const BINARIES = {
  etcd: { path: "go.etcd.io/etcd/server/v3" },
  kubectl: { path: "k8s.io/kubernetes/cmd/kubectl", ldflags },
  "kube-apiserver": { path: "k8s.io/kubernetes/cmd/kube-apiserver", ldflags },
  "kube-controller-manager": { path: "k8s.io/kubernetes/cmd/kube-controller-manager", ldflags },
};

const nothingToStop = async (): Promise<void> => Promise.resolve();

/** The folder with etcd, kube-apiserver, kube-controller-manager and kubectl. Traffic suites always run on these. */
export async function localControlPlane(say: Say): Promise<Provider> {
  const assets = process.env["KUBEBUILDER_ASSETS"];
  const isComplete = assets !== undefined && Object.keys(BINARIES).every((name) => isExecutable(join(assets, name)));
  const folder = isComplete
    ? assets
    : await goPrograms(
        `control-plane-${KUBE_VERSION}`,
        MODULE,
        BINARIES,
        "about 1 GB of modules, 5 minutes on 2 cores",
        say,
      );
  const description = `${isComplete ? "binaries in KUBEBUILDER_ASSETS" : "built from their Go modules"}, ${folder}`;
  return { env: { SERVICEROUTE_CONTROL_PLANE: folder }, description, stop: nothingToStop };
}

/** A control plane for suites that only ask the API server. */
export async function anyControlPlane(say: Say): Promise<Provider> {
  const named = process.env["SERVICEROUTE_TEST_KUBECONFIG"];
  if (named !== undefined) {
    const env = { SERVICEROUTE_TEST_KUBECONFIG: named };
    return { env, description: `the cluster of SERVICEROUTE_TEST_KUBECONFIG, ${named}`, stop: nothingToStop };
  }
  try {
    return await localControlPlane(say);
  } catch (error) {
    say(`no control plane of our own: ${error instanceof Error ? error.message : String(error)}`);
    return startK3s(say);
  }
}

/** The folder of the Gateway API module that hack/gateway-api pins, fetched if need be. */
export const gatewayApiModule = (say: Say): string =>
  goModule(join(import.meta.dirname, "gateway-api"), "sigs.k8s.io/gateway-api", say);

/** The program that says what kstatus, and so Flux and others, makes of an object. */
export async function kstatusProgram(say: Say): Promise<string> {
  const module = join(import.meta.dirname, "kstatus");
  const folder = await goPrograms("kstatus", module, { kstatus: { path: "." } }, "half a minute", say);
  return join(folder, "kstatus");
}
