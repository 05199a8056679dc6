import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import type { Instance } from "./instances.ts";

/** EndpointSlices for instances: one for each, as their ports differ. What a cluster's control plane would write. */
export function slicesFor(instances: readonly Pick<Instance, "service" | "name" | "port">[]): string {
  return instances
    .map(({ service, name, port }) =>
      stringify({
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: { name, labels: { "kubernetes.io/service-name": service } },
        addressType: "IPv4",
        ports: [{ name: "http", port, protocol: "TCP" }],
        endpoints: [{ addresses: ["127.0.0.1"], conditions: { ready: true } }],
      }),
    )
    .join("---\n");
}

/** Written beside and moved into place, so that nobody reads half of it. */
export function writeSlices(folder: string, instances: readonly Instance[]): void {
  const temporary = join(folder, ".endpoints.yaml");
  writeFileSync(temporary, slicesFor(instances));
  renameSync(temporary, join(folder, "endpoints.yaml"));
}
