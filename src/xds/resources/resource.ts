import { createHash } from "node:crypto";
import type { RouteKey, RouteTable } from "../../routing/routing-table.ts";
import { type DescMessage, type MessageInitShape, create, toBinary } from "@bufbuild/protobuf";

/** Kinds of resources, in the order in which Envoy is given them: what is used comes before what uses it. */
export const TYPES = [
  "Secret",
  "Cluster",
  "ClusterLoadAssignment",
  "ExtensionConfig",
  "Listener",
  "ScopedRouteConfiguration",
  "RouteConfiguration",
] as const;
export type ResourceType = (typeof TYPES)[number];

const URL_OF: Readonly<Record<ResourceType, string>> = {
  Secret: "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
  Cluster: "type.googleapis.com/envoy.config.cluster.v3.Cluster",
  ClusterLoadAssignment: "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
  ExtensionConfig: "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
  Listener: "type.googleapis.com/envoy.config.listener.v3.Listener",
  ScopedRouteConfiguration: "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration",
  RouteConfiguration: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
};
const TYPE_OF = new Map(TYPES.map((type) => [URL_OF[type], type]));

export const typeUrlOf = (type: ResourceType): string => URL_OF[type];
export const typeOfUrl = (url: string): ResourceType | undefined => TYPE_OF.get(url);

declare const resourceId: unique symbol;
/** `Type/name`. */
export type ResourceId = string & { readonly [resourceId]: true };

export const idOf = (type: ResourceType, name: string): ResourceId => `${type}/${name}` as ResourceId;

export function partsOf(id: ResourceId): [type: ResourceType, name: string] {
  const slash = id.indexOf("/");
  return [id.slice(0, slash) as ResourceType, id.slice(slash + 1)];
}

/** One xDS resource as proxies are sent it. Equal content has an equal version, whoever makes it and whenever. */
export interface Resource {
  readonly id: ResourceId;
  readonly type: ResourceType;
  readonly name: string;
  /** Of its content, short. */
  readonly version: string;
  /** The message itself, encoded. */
  readonly bytes: Uint8Array;
  /**
   * What it names that a proxy must have for it to work: the clusters of routes, the endpoints of a cluster. A listener
   * does not use its routes, nor its certificates: a proxy asks for those itself, and does without the listener until then.
   */
  readonly uses: readonly ResourceId[];
  /** The routes that it is made of, as they were then; absent where it is made of none. */
  readonly routes?: ReadonlyMap<RouteKey, RouteTable>;
}

const VERSION_LENGTH = 16;
export const versionOf = (bytes: Uint8Array): string =>
  createHash("sha256").update(bytes).digest("hex").slice(0, VERSION_LENGTH);

export function resourceOf(
  type: ResourceType,
  name: string,
  bytes: Uint8Array,
  uses: readonly ResourceId[] = [],
): Resource {
  return { id: idOf(type, name), type, name, version: versionOf(bytes), bytes, uses };
}

export function encoded<D extends DescMessage>(schema: D, init: MessageInitShape<D>): Uint8Array {
  return toBinary<D>(schema, create<D>(schema, init));
}
