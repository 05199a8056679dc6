import { BlockList, isIP } from "node:net";
import { availableParallelism } from "node:os";
import { type Command, InvalidArgumentError, type Option } from "commander";
import type { TrustedProxies } from "../proxy/downstream/client-origin.ts";
import { UNDERSCORES, type Underscores } from "../proxy/downstream/request-policy.ts";
import { hasHttp2Fixes } from "../proxy/downstream/http2-fixes.ts";
import { DEFAULT_OPTIONS, type GatewayOptions } from "../proxy/gateway-context.ts";
import { AccessLog } from "../telemetry/access-log.ts";
import { type BoundAddress, parseAddress } from "../telemetry/http-endpoint.ts";
import type { DestinationStream } from "../telemetry/logger.ts";
import { CommandError } from "./exit.ts";
import { flag, parseSeconds, toggle } from "./flag.ts";

const HTTP2_CHOICES = ["auto", "on", "off"] as const;
type Http2Choice = (typeof HTTP2_CHOICES)[number];

/** Flags that say how requests are taken and answered. */
export interface ServingFlags {
  readonly reasonHeader: boolean;
  readonly routeHeader: boolean;
  readonly underscoreHeaders: Underscores;
  readonly trustedHops: number;
  /** Addresses and ranges. */
  readonly trustedProxies?: readonly string[];
  readonly http2: Http2Choice;
  readonly maxConnections: number;
  readonly maxEventLoopDelay: number;
  readonly accessLog: boolean;
  readonly accessLogSample: number;
  /** 0 serves in this process. */
  readonly gatewayWorkers: number;
  readonly dataPlane: DataPlaneKind;
  /** Where proxies ask for what they are to serve. */
  readonly xdsAddress: BoundAddress;
}

export const DATA_PLANES = ["embedded", "envoy"] as const;
export type DataPlaneKind = (typeof DATA_PLANES)[number];

function parseXdsAddress(value: string): BoundAddress {
  const address = parseAddress(value);
  if (address === undefined) throw new InvalidArgumentError("an address is host:port.");
  return address;
}

const XDS_ADDRESS = "127.0.0.1:18000";
export const xdsAddressOption = (): Option =>
  flag("--xds-address <host:port>", "where Envoys ask for what they are to serve")
    .default(parseXdsAddress(XDS_ADDRESS), XDS_ADDRESS)
    .argParser(parseXdsAddress);

function parseHops(value: string): number {
  if (!/^[0-9]{1,2}$/.test(value)) throw new InvalidArgumentError("a number from 0 to 99.");
  return Number(value);
}

/** Addresses and ranges, such as 10.0.0.0/8,2001:db8::1. */
function parseRanges(value: string): string[] {
  const ranges = value.split(",").map((part) => part.trim());
  for (const range of ranges) {
    const [address = "", bits] = range.split("/");
    if (isIP(address) === 0 || (bits !== undefined && !(/^[0-9]{1,3}$/.test(bits) && Number(bits) <= longest(address))))
      throw new InvalidArgumentError(`"${range}" is no address and no CIDR range.`);
  }
  return ranges;
}

const longest = (address: string): number => (isIP(address) === 4 ? 32 : 128);

function blockListOf(ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = "", bits] = range.split("/");
    list.addSubnet(address, Number(bits ?? longest(address)), isIP(address) === 4 ? "ipv4" : "ipv6");
  }
  return list;
}

function parseCount(value: string): number {
  if (!/^[0-9]{1,9}$/.test(value)) throw new InvalidArgumentError("a number; 0 is no limit.");
  return Number(value);
}

/** Milliseconds, from a duration such as 500ms or 2s. */
function parseMilliseconds(value: string): number {
  const match = /^([0-9]{1,6})ms$/.exec(value);
  return match === null ? parseSeconds(value) * 1000 : Number(match[1]);
}

const MOST_WORKERS = 64;

function parseWorkers(value: string): number {
  if (value === "auto") return availableParallelism();
  if (!/^[0-9]{1,2}$/.test(value) || Number(value) > MOST_WORKERS)
    throw new InvalidArgumentError(`a number from 0 to ${MOST_WORKERS}, or auto for one for each core.`);
  return Number(value);
}

function parseShare(value: string): number {
  if (!/^(0(\.[0-9]+)?|1(\.0+)?)$/.test(value)) throw new InvalidArgumentError("a share from 0 to 1, such as 0.01.");
  return Number(value);
}

/** How requests are taken and answered, as far as it is the operator's. */
export function addServingFlags(command: Command): Command {
  return command
    .addOption(
      flag("--data-plane <what>", "what serves the traffic: this process, or Envoys that it programs")
        .choices(DATA_PLANES)
        .default("embedded"),
    )
    .addOption(xdsAddressOption())
    .addOption(
      flag("--underscore-headers <what>", "what becomes of headers with an underscore in their name")
        .choices(UNDERSCORES)
        .default("reject"),
    )
    .addOption(
      flag("--trusted-hops <n>", "how many proxies before this one are believed in X-Forwarded-*, whoever they are")
        .default(0)
        .argParser(parseHops),
    )
    .addOption(
      flag(
        "--trusted-proxies <cidrs>",
        "addresses of proxies that are believed in X-Forwarded-*, comma-separated",
      ).argParser(parseRanges),
    )
    .addOption(toggle("--reason-header", "name the reason of the gateway's own answers in x-serviceroute-reason"))
    .addOption(toggle("--route-header", "name the route and rule of every answer in x-serviceroute-route"))
    .addOption(
      flag("--http2 <when>", "HTTP/2 from clients; auto: where this Node has the security fixes of October 2026")
        .choices(HTTP2_CHOICES)
        .default("auto"),
    )
    .addOption(
      flag("--max-connections <n>", "connections of clients at a time; more are closed at once; 0 is no limit")
        .default(DEFAULT_OPTIONS.maxConnections)
        .argParser(parseCount),
    )
    .addOption(
      flag(
        "--max-event-loop-delay <time>",
        "from this delay on a growing share of new requests is answered 503 Overloaded; 0 never",
      )
        .default(DEFAULT_OPTIONS.maxEventLoopDelayMs, `${DEFAULT_OPTIONS.maxEventLoopDelayMs}ms`)
        .argParser(parseMilliseconds),
    )
    .addOption(
      flag("--gateway-workers <n>", "processes that serve traffic, auto for one for each core; 0: this one serves it")
        .default(0)
        .argParser(parseWorkers),
    )
    .addOption(toggle("--access-log", "one line of JSON on stdout for each request"))
    .addOption(
      flag("--access-log-sample <share>", "share of requests in the access log; failures always are")
        .default(1)
        .argParser(parseShare),
    );
}

/** @param stream  Where the process logs. */
export function accessLogOf(
  { accessLog, accessLogSample }: ServingFlags,
  stream: DestinationStream,
): AccessLog | undefined {
  return accessLog ? new AccessLog(stream, accessLogSample, Math.random, Date.now) : undefined;
}

/** What an operator should know of them at the start. */
export function servingWarning({ http2, dataPlane }: ServingFlags): string | undefined {
  const { node } = process.versions;
  if (dataPlane === "envoy" || http2 === "off" || hasHttp2Fixes(node)) return undefined;
  return http2 === "on"
    ? `HTTP/2 from clients is served by Node ${node}, which lacks the security fixes of 22.23.4, 24.22.1 and 26.12.1`
    : `HTTP/2 from clients, and with it gRPC, is off: Node ${node} lacks the security fixes of 22.23.4, 24.22.1 and 26.12.1; --http2 on serves it all the same`;
}

/** What a data plane is told of them. */
export function servingOptions(flags: ServingFlags): GatewayOptions {
  const {
    reasonHeader,
    routeHeader,
    underscoreHeaders,
    trustedHops,
    trustedProxies,
    maxConnections,
    maxEventLoopDelay,
    http2,
  } = flags;
  if (trustedHops > 0 && trustedProxies !== undefined)
    throw new CommandError("--trusted-hops and --trusted-proxies exclude each other; give one", 2);
  const trusted: TrustedProxies =
    trustedProxies === undefined
      ? { kind: "hops", hops: trustedHops }
      : { kind: "ranges", ranges: blockListOf(trustedProxies) };
  return {
    showReason: reasonHeader,
    showRoute: routeHeader,
    underscores: underscoreHeaders,
    trustedProxies: trusted,
    http2: http2 === "on" || (http2 === "auto" && hasHttp2Fixes(process.versions.node)),
    maxConnections,
    maxEventLoopDelayMs: maxEventLoopDelay,
  };
}
