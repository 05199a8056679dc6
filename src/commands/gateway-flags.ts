import { BlockList, isIP } from "node:net";
import { readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { type Command, InvalidArgumentError, Option } from "commander";
import { type BoundAddress, parseAddress } from "../telemetry/http-endpoint.ts";
import { LOG_LEVELS, type LogLevel } from "../telemetry/logger.ts";
import { parseCertificate } from "../translate/certificates.ts";
import { poolProblem } from "../translate/gateway-addresses.ts";
import type { TranslateOptions } from "../translate/options.ts";
import type { TrustedProxies } from "../proxy/downstream/client-origin.ts";
import { UNDERSCORES, type Underscores } from "../proxy/downstream/request-policy.ts";
import { CommandError } from "./exit.ts";

/** Flags of every command that serves traffic. */
export interface GatewayFlags {
  readonly gatewayClass?: string;
  readonly builtinGateway?: boolean;
  readonly httpPort: number;
  readonly httpsPort: number;
  readonly bindAddress: string;
  readonly gatewayAddressPool?: string;
  readonly tlsCertFile?: string;
  readonly tlsKeyFile?: string;
  readonly adminAddress: BoundAddress | undefined;
  readonly metricsAddress: BoundAddress | undefined;
  readonly logLevel: LogLevel;
  readonly reasonHeader: boolean;
  readonly underscoreHeaders: Underscores;
  readonly trustedHops: number;
  readonly trustedProxies?: BlockList;
  readonly drainTimeout: number;
}

/** A flag that can also be given as SERVICEROUTE_*; an empty one is not given. */
export function flag(flags: string, description: string): Option {
  const option = new Option(flags, description);
  const name = `SERVICEROUTE_${option.attributeName().replaceAll(/[A-Z]/g, "_$&").toUpperCase()}`;
  if (option.isBoolean()) return booleanFlag(option, name);
  if (process.env[name] !== "") return option.env(name);
  option.description += ` (env: ${name})`;
  return option;
}

export const gatewayClassOption = (): Option =>
  flag(
    "--gateway-class <name>",
    'serve the Gateways of this class alone (default: of every class of this controller; without a GatewayClass in a folder, of "serviceroute")',
  );

/** A flag without a value that is off unless it is given. */
export function toggle(flags: string, description: string): Option {
  const option = flag(flags, description);
  return option.defaultValue === undefined ? option.default(false) : option;
}

/** Commander takes a flag without a value for given as soon as its variable exists, whatever it says. */
function booleanFlag(option: Option, name: string): Option {
  const value = process.env[name];
  option.description += ` (env: ${name})`;
  if (value === undefined || value === "") return option;
  if (!/^(true|false|1|0)$/i.test(value)) throw new CommandError(`${name} is true or false, not "${value}"`, 2);
  return /^(true|1)$/i.test(value)
    ? option.default(true, "true, from the environment")
    : option.default(false, "false, from the environment");
}

export function parsePort(value: string): number {
  const port = Number(value);
  if (!/^[0-9]+$/.test(value) || port < 1 || port > 65_535)
    throw new InvalidArgumentError("a port is a number from 1 to 65535.");
  return port;
}

/** A name that an object of the API server can have; room is left for what we put before it. */
export function parseName(value: string): string {
  if (!/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(value) || value.length > 200)
    throw new InvalidArgumentError("a name has lower-case letters, digits, '-' and '.', and at most 200 of them.");
  return value;
}

function parseIp(value: string): string {
  if (isIP(value) === 0) throw new InvalidArgumentError("It is no IP address.");
  return value;
}

function parsePool(value: string): string {
  const problem = poolProblem(value);
  if (problem !== undefined) throw new InvalidArgumentError(`${problem}.`);
  return value;
}

function parseEndpoint(value: string): BoundAddress | undefined {
  if (value === "off") return undefined;
  const address = parseAddress(value);
  if (address === undefined) throw new InvalidArgumentError("an address is host:port, or off.");
  return address;
}

/** Seconds, from a number or a duration such as 30s or 2m. */
export function parseSeconds(value: string): number {
  const match = /^([0-9]{1,6})(s|m|h)?$/.exec(value);
  if (match === null) throw new InvalidArgumentError("a time is a number of seconds, or a duration such as 30s or 2m.");
  return Number(match[1]) * { s: 1, m: 60, h: 3600 }[(match[2] as "s" | "m" | "h" | undefined) ?? "s"];
}

function parseHops(value: string): number {
  if (!/^[0-9]{1,2}$/.test(value)) throw new InvalidArgumentError("a number from 0 to 99.");
  return Number(value);
}

/** Addresses and ranges, such as 10.0.0.0/8,2001:db8::1. */
function parseRanges(value: string): BlockList {
  const ranges = new BlockList();
  for (const range of value.split(",").map((part) => part.trim())) {
    const [address = "", bits] = range.split("/");
    const family = isIP(address) === 4 ? "ipv4" : "ipv6";
    const most = family === "ipv4" ? 32 : 128;
    if (isIP(address) === 0 || (bits !== undefined && !(/^[0-9]{1,3}$/.test(bits) && Number(bits) <= most)))
      throw new InvalidArgumentError(`"${range}" is no address and no CIDR range.`);
    ranges.addSubnet(address, Number(bits ?? most), family);
  }
  return ranges;
}

const LONGEST_DRAIN_SECONDS = 86_400;

function parseDrain(value: string): number {
  const seconds = parseSeconds(value);
  if (seconds > LONGEST_DRAIN_SECONDS) throw new InvalidArgumentError("the longest is 24h.");
  return seconds;
}

/** The request policy, as far as it is the operator's. */
function addRequestFlags(command: Command): Command {
  return command
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
    );
}

export function addGatewayFlags(
  command: Command,
  defaults: { readonly metricsAddress: string; readonly builtin: string },
): Command {
  return addRequestFlags(command)
    .addOption(gatewayClassOption())
    .addOption(flag("--builtin-gateway", `serve the built-in gateway as well (default: ${defaults.builtin})`))
    .addOption(new Option("--no-builtin-gateway", "do not serve the built-in gateway"))
    .addOption(flag("--http-port <port>", "HTTP port of the built-in gateway").default(8080).argParser(parsePort))
    .addOption(
      flag("--https-port <port>", "HTTPS port of the built-in gateway; open when a certificate is given")
        .default(8443)
        .argParser(parsePort),
    )
    .addOption(flag("--tls-cert-file <file>", "certificate chain of the built-in gateway, PEM"))
    .addOption(flag("--tls-key-file <file>", "private key of the built-in gateway, PEM"))
    .addOption(
      flag("--bind-address <ip>", "address of the built-in gateway and of Gateways without one of their own")
        .default("0.0.0.0")
        .argParser(parseIp),
    )
    .addOption(
      flag("--gateway-address-pool <cidr>", "range that Gateways get addresses from, one each").argParser(parsePool),
    )
    .addOption(
      flag("--admin-address <host:port>", "tables, statuses and explain; off closes it")
        .default(parseEndpoint("127.0.0.1:9090"), "127.0.0.1:9090")
        .argParser(parseEndpoint),
    )
    .addOption(
      flag("--metrics-address <host:port>", "health and metrics; off closes it")
        .default(parseEndpoint(defaults.metricsAddress), defaults.metricsAddress)
        .argParser(parseEndpoint),
    )
    .addOption(toggle("--reason-header", "name the reason of the gateway's own answers in x-serviceroute-reason"))
    .addOption(
      flag("--drain-timeout <time>", "how long requests may go on after SIGTERM")
        .default(30, "30s")
        .argParser(parseDrain),
    )
    .addOption(
      flag("--log-level <level>", "least important messages to log")
        .choices([...LOG_LEVELS])
        .default("info"),
    );
}

/** Flags that say how requests are taken and answered. */
export type ServingFlags = Pick<GatewayFlags, "reasonHeader" | "underscoreHeaders" | "trustedHops" | "trustedProxies">;

export function servingOptions({ reasonHeader, underscoreHeaders, trustedHops, trustedProxies }: ServingFlags) {
  if (trustedHops > 0 && trustedProxies !== undefined)
    throw new CommandError("--trusted-hops and --trusted-proxies exclude each other; give one", 2);
  const trusted: TrustedProxies =
    trustedProxies === undefined ? { kind: "hops", hops: trustedHops } : { kind: "ranges", ranges: trustedProxies };
  return { showReason: reasonHeader, underscores: underscoreHeaders, trustedProxies: trusted };
}

function readPem(file: string): string {
  try {
    return readFileSync(file, "latin1");
  } catch (error) {
    const { code = String(error) } = error as NodeJS.ErrnoException;
    throw new CommandError(`cannot read ${file} (${code}); check --tls-cert-file and --tls-key-file`);
  }
}

function builtinCertificate({ tlsCertFile, tlsKeyFile }: GatewayFlags) {
  if (tlsCertFile === undefined && tlsKeyFile === undefined) return undefined;
  if (tlsCertFile === undefined || tlsKeyFile === undefined)
    throw new CommandError("--tls-cert-file and --tls-key-file belong together; give both", 2);
  const parsed = parseCertificate("the built-in gateway", readPem(tlsCertFile), readPem(tlsKeyFile));
  if (!parsed.ok) throw new CommandError(`${parsed.message}; check --tls-cert-file and --tls-key-file`);
  return parsed.certificate;
}

const isWildcard = (address: string): boolean => address === "0.0.0.0" || address === "::";

/** What clients can dial: the bind address, or this host's first address when it is a wildcard. */
function advertised(bindAddress: string): string {
  if (!isWildcard(bindAddress)) return bindAddress;
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return all.find(({ family, internal }) => family === "IPv4" && !internal)?.address ?? "127.0.0.1";
}

export function translateOptions(
  flags: GatewayFlags,
  mode: { builtin: boolean; classByName: boolean; allowLoopback: boolean },
): TranslateOptions {
  const certificate = builtinCertificate(flags);
  const { gatewayClass, bindAddress, gatewayAddressPool, httpPort, httpsPort } = flags;
  return {
    ...(gatewayClass === undefined ? {} : { gatewayClass }),
    classByName: mode.classByName,
    bindAddress,
    advertisedAddress: advertised(bindAddress),
    allowLoopback: mode.allowLoopback,
    ...(gatewayAddressPool === undefined ? {} : { addressPool: gatewayAddressPool }),
    ...(mode.builtin
      ? { builtin: { httpPort, httpsPort, ...(certificate === undefined ? {} : { certificate }) } }
      : {}),
  };
}
