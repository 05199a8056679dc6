import { parseAllDocuments } from "yaml";
import type { Cluster } from "./cluster.ts";

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}
const SERVICE_ACCOUNT = "system:serviceaccount:serviceroute-system:serviceroute";
const right = (verb: string, group: string, resource: string): string =>
  `${verb} ${resource}${group === "" ? "" : `.${group}`}`;

/** `verb resource.group` of every rule in the manifests that a folder of `manifests/` makes. */
export async function rightsGranted(cluster: Cluster, folder: string): Promise<Set<string>> {
  const { stdout } = await cluster.kubectl(["kustomize", folder]);
  const rules = parseAllDocuments(stdout).flatMap((document) => (document.toJS() as { rules?: Rule[] }).rules ?? []);
  return new Set(
    rules.flatMap(({ apiGroups, resources, verbs }) =>
      apiGroups.flatMap((group) => resources.flatMap((resource) => verbs.map((verb) => right(verb, group, resource)))),
    ),
  );
}

/** What the shipped service account asked for, by the audit log: with success, and refused. */
export function rightsUsed(cluster: Cluster): { readonly used: Set<string>; readonly refused: Set<string> } {
  const [used, refused] = [new Set<string>(), new Set<string>()];
  for (const { user, verb, objectRef, responseStatus } of cluster.audit()) {
    if (user.username !== SERVICE_ACCOUNT || objectRef?.resource === undefined) continue;
    const resource = [objectRef.resource, objectRef.subresource].filter((part) => part !== undefined).join("/");
    (responseStatus?.code === 403 ? refused : used).add(right(verb, objectRef.apiGroup ?? "", resource));
  }
  return { used, refused };
}
