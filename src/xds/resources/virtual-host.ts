import { RouteSchema, VirtualHostSchema } from "../generated/envoy/config/route/v3/route_components_pb.js";
import type { ReasonWord } from "../../routing/rule.ts";
import type { ProxyOptions } from "../options.ts";
import { failure } from "./local-answer.ts";
import { encoded } from "./resource.ts";

/** Field 3 of VirtualHost, `routes`, with a length. */
const ROUTES_TAG = 0x1a;

/** The length of what follows, as protobuf writes it. */
export function varint(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) + 128);
  }
}

/** A message put together from parts that are encoded already: where one of thousands changes, no other is looked at. */
export function joined(head: Uint8Array, tag: number, parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat([head, ...parts.flatMap((part) => [Uint8Array.from([tag, ...varint(part.length)]), part])]);
}

const answerAll = (reason: ReasonWord, options: ProxyOptions): Uint8Array => {
  const { directResponse, headers } = failure(reason, options);
  return encoded(RouteSchema, {
    // Scripts know by a name that there is a route.
    name: "no-route",
    match: { pathSpecifier: { case: "prefix", value: "/" } },
    action: { case: "directResponse", value: directResponse },
    responseHeadersToAdd: headers,
  });
};

/**
 * One hostname with its routes, encoded.
 *
 * @param last  What requests are answered that none of the routes fits.
 */
export function virtualHost(
  hostname: string,
  routes: readonly Uint8Array[],
  last: ReasonWord,
  options: ProxyOptions,
): Uint8Array {
  const head = encoded(VirtualHostSchema, { name: hostname, domains: [hostname] });
  return joined(head, ROUTES_TAG, [...routes, answerAll(last, options)]);
}
