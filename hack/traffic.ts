/** Where suites with real traffic run: in a network namespace of their own, on a control plane of our own. */
import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gatewayApiModule, kstatusProgram, localControlPlane } from "./control-plane.ts";
import type { Provider } from "./provider.ts";
import type { Say } from "./go.ts";

/** Traffic of these suites stays in a network namespace of their own; every documentation address is local there. */
export const inNamespace = (command: readonly string[]): string[] => {
  const isRoot = process.getuid?.() === 0;
  const unshare = [
    "unshare",
    ...(isRoot ? [] : ["--user", "--map-root-user"]),
    "--net",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
  ];
  return [...unshare, join(import.meta.dirname, "namespace"), ...command];
};

/** Everything that suites with traffic need: a control plane of our own, the image, and what reads statuses. */
export async function clusterForTraffic(say: Say): Promise<Provider> {
  const provider = await localControlPlane(say);
  say(`control plane: ${provider.description}`);
  const env = {
    SERVICEROUTE_GATEWAY_API: gatewayApiModule(say),
    SERVICEROUTE_KSTATUS: await kstatusProgram(say),
    SERVICEROUTE_ROOTFS: imageTree(say),
  };
  return { ...provider, env: { ...provider.env, ...env } };
}

/** The image's file tree, made anew: the Deployment is tested as it would be shipped from here. */
function imageTree(say: Say): string {
  const tree = join(mkdtempSync(join(tmpdir(), "serviceroute-image-")), "rootfs");
  say(`image tree: ${tree}`);
  execFileSync(join(import.meta.dirname, "rootfs"), [tree], { stdio: ["ignore", "ignore", "pipe"] });
  return tree;
}
