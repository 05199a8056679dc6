import type { Cluster } from "./cluster.ts";
import { finish } from "./processes.ts";

/** What kstatus, and so Flux and others, makes of a ServiceRoute. */
export async function kstatusOf(cluster: Cluster, name: string): Promise<string> {
  const program = process.env["SERVICEROUTE_KSTATUS"];
  if (program === undefined) throw new Error("SERVICEROUTE_KSTATUS is not set; run these tests with: npm run test:e2e");
  const object = await cluster.get<object>(["serviceroute", name]);
  const { code, stdout, stderr } = await finish(
    program,
    [],
    JSON.stringify({ kind: "List", apiVersion: "v1", items: [object] }),
  );
  if (code !== 0) throw new Error(stderr);
  return stdout.trim().split(" ").at(-1) ?? "";
}
