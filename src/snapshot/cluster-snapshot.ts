import type { Key } from "../api/keys.ts";
import type { Kind } from "../api/kinds.ts";
import type { KubeObject } from "../api/objects.ts";

/**
 * What the cluster says now, read-only. Reads inside a computation are remembered: it runs again when one of the
 * things that it read has changed, and only then.
 */
export interface ClusterSnapshot {
  get<K extends Kind>(key: Key<K>): KubeObject<K> | undefined;
  slicesOf(namespace: string, service: string): readonly KubeObject<"EndpointSlice">[];
  grantsIn(namespace: string): readonly KubeObject<"ReferenceGrant">[];
  /** Those that name the Service in a targetRef, in order of name. */
  backendTlsPoliciesOf(namespace: string, service: string): readonly KubeObject<"BackendTLSPolicy">[];
  gateways(): readonly KubeObject<"Gateway">[];
  /** Labels of a namespace, always with `kubernetes.io/metadata.name`. */
  namespaceLabels(name: string): Readonly<Record<string, string>>;
}
