import type { ClusterSnapshot } from "../snapshot/cluster-snapshot.ts";

export interface Referrer {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
}
export interface Referent {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/**
 * The single check for every reference that may leave its namespace (S12, B15, B16): a ReferenceGrant in the
 * referent's namespace must name both sides.
 *
 * @source Gateway API v1beta1 ReferenceGrant.
 */
export function isPermitted(snapshot: ClusterSnapshot, from: Referrer, to: Referent): boolean {
  if (from.namespace === to.namespace) return true;
  return snapshot
    .grantsIn(to.namespace)
    .some(
      ({ spec }) =>
        spec.from.some((f) => f.group === from.group && f.kind === from.kind && f.namespace === from.namespace) &&
        spec.to.some(
          (t) =>
            t.group === to.group && t.kind === to.kind && (t.name === undefined || t.name === "" || t.name === to.name),
        ),
    );
}

/** Says nothing of whether the referent exists, which the referrer may not know (S27). */
export function grantMessage(from: Referrer, to: Referent): string {
  return `${to.kind} ${to.namespace}/${to.name} is in another namespace and no ReferenceGrant in "${to.namespace}" allows references from ${from.kind} in "${from.namespace}"`;
}
