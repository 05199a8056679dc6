import type { KubeObject } from "../api/objects.ts";
import { keyOf } from "../api/keys.ts";
import type { ClusterSnapshot } from "../snapshot/cluster-snapshot.ts";
import {
  type Endpoint,
  type EndpointSet,
  type EndpointsKey,
  authorityOf,
  partsOfEndpointsKey,
} from "../routing/endpoints.ts";
import { compareText } from "../routing/precedence.ts";
import { isForbiddenAddress } from "./addresses.ts";
import { compact } from "./compact.ts";

type State = "ready" | "draining" | "unusable";
interface Found {
  readonly endpoint: Endpoint;
  readonly state: State;
}
type ServicePort = NonNullable<NonNullable<KubeObject<"Service">["spec"]>["ports"]>[number];
type NamedPort = { readonly name?: string | null | undefined; readonly protocol?: string | null | undefined };

/** Ports of a Service and of its endpoints go together by name and transport. */
const isSamePort = (a: NamedPort, b: NamedPort): boolean =>
  (a.name ?? "") === (b.name ?? "") && (a.protocol ?? "TCP") === (b.protocol ?? "TCP");

const RANK: Readonly<Record<State, number>> = { ready: 0, draining: 1, unusable: 2 };

interface EndpointOptions {
  /** Folders may name loopback addresses; a cluster may not (B31). */
  readonly allowLoopback: boolean;
}

/** `ready` absent means true; `serving` absent means what `ready` says (EndpointSlice v1). */
function stateOf(
  conditions:
    | {
        ready?: boolean | null | undefined;
        serving?: boolean | null | undefined;
        terminating?: boolean | null | undefined;
      }
    | null
    | undefined,
): State {
  const terminating = conditions?.terminating ?? false;
  const ready = conditions?.ready ?? true;
  if (ready && !terminating) return "ready";
  return terminating && (conditions?.serving ?? ready) ? "draining" : "unusable";
}

function fromSlices(slices: readonly KubeObject<"EndpointSlice">[], port: ServicePort): Found[] {
  return slices.flatMap((slice) => {
    if ((slice.addressType ?? "IPv4") === "FQDN") return [];
    const number = (slice.ports ?? []).find((one) => isSamePort(one, port))?.port;
    if (number == null) return [];
    return (slice.endpoints ?? []).flatMap((e) => {
      const [address] = e.addresses ?? [];
      return address === undefined ? [] : [{ endpoint: { address, port: number }, state: stateOf(e.conditions) }];
    });
  });
}

function fromEndpoints(object: KubeObject<"Endpoints"> | undefined, port: ServicePort): Found[] {
  return (object?.subsets ?? []).flatMap((subset) => {
    const number = (subset.ports ?? []).find((one) => isSamePort(one, port))?.port;
    if (number === undefined) return [];
    const all = (state: State, addresses: readonly { ip: string }[] | null | undefined): Found[] =>
      (addresses ?? []).map(({ ip }) => ({ endpoint: { address: ip, port: number }, state }));
    return [...all("ready", subset.addresses), ...all("unusable", subset.notReadyAddresses)];
  });
}

/** An address in two slices counts once, with the best that either says (F30): the result cannot depend on order. */
function distinct(found: readonly Found[]): Found[] {
  const best = new Map<string, Found>();
  for (const one of found) {
    const id = authorityOf(one.endpoint);
    const other = best.get(id);
    if (other === undefined || RANK[one.state] < RANK[other.state]) best.set(id, one);
  }
  return [...best.entries()].sort(([a], [b]) => compareText(a, b)).map(([, one]) => one);
}

/** The endpoints of one Service port: slices where there are any, else the Endpoints object (folders). */
export function translateEndpoints(
  snapshot: ClusterSnapshot,
  key: EndpointsKey,
  options: EndpointOptions,
): EndpointSet {
  const { namespace, service, port: number, transport } = partsOfEndpointsKey(key);
  const ports = snapshot.get(keyOf("Service", namespace, service))?.spec?.ports;
  const port = ports?.find((one) => one.port === number && (one.protocol ?? "TCP") === transport);
  const slices = snapshot.slicesOf(namespace, service);
  const found =
    port === undefined
      ? []
      : slices.length > 0
        ? fromSlices(slices, port)
        : fromEndpoints(snapshot.get(keyOf("Endpoints", namespace, service)), port);
  const allowed = distinct(found).filter(({ endpoint }) => !isForbiddenAddress(endpoint.address, options));
  const of = (state: State): Endpoint[] => allowed.filter((one) => one.state === state).map((one) => one.endpoint);
  const ready = of("ready");
  const draining = of("draining");
  const dropped = new Set(found.map(({ endpoint }) => endpoint.address).filter((a) => isForbiddenAddress(a, options)));
  return {
    key,
    usable: ready.length > 0 ? ready : draining,
    ready: ready.length,
    draining: draining.length,
    total: allowed.length,
    dropped: compact([...dropped].sort(compareText)),
  };
}
