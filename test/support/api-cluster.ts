import { Cluster } from "./cluster.ts";
import { type Finished, finish } from "./processes.ts";

/** What suites that only ask the API server need of a cluster. */
export interface ApiCluster {
  start(): Promise<unknown>;
  stop(): Promise<void>;
  kubectl(args: readonly string[], input?: string): Promise<Finished>;
}

/** The cluster that the environment names, else one of our own. What is applied to the former stays there. */
export function apiCluster(): ApiCluster {
  const kubeconfig = process.env["SERVICEROUTE_TEST_KUBECONFIG"];
  if (kubeconfig === undefined) return new Cluster();
  return {
    start: async () => Promise.resolve(),
    stop: async () => Promise.resolve(),
    kubectl: async (args, input = "") => finish("kubectl", ["--kubeconfig", kubeconfig, ...args], input),
  };
}
