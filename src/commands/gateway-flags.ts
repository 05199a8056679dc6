import { isIP } from "node:net";
import { readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { type Command, InvalidArgumentError, Option } from "commander";
import { type BoundAddress, parseAddress } from "../telemetry/http-endpoint.ts";
import { LOG_LEVELS, type LogLevel } from "../telemetry/logger.ts";
import { parseCertificate } from "../translate/certificates.ts";
import { poolProblem } from "../translate/gateway-addresses.ts";
import type { TranslateOptions } from "../translate/options.ts";
import { CommandError } from "./exit.ts";
import { flag, parsePort, parseSeconds } from "./flag.ts";
import { type ServingFlags, addServingFlags } from "./serving-flags.ts";

/** Flags of every command that serves traffic. */
export interface GatewayFlags extends ServingFlags {
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
  readonly drainTimeout: number;
}

export const gatewayClassOption = (): Option =>
  flag(
    "--gateway-class <name>",
    'serve the Gateways of this class alone (default: of every class of this controller; without a GatewayClass in a folder, of "serviceroute")',
  );

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

const LONGEST_DRAIN_SECONDS = 86_400;

function parseDrain(value: string): number {
  const seconds = parseSeconds(value);
  if (seconds > LONGEST_DRAIN_SECONDS) throw new InvalidArgumentError("the longest is 24h.");
  return seconds;
}

export function addGatewayFlags(
  command: Command,
  defaults: { readonly metricsAddress: string; readonly builtin: string },
): Command {
  return addServingFlags(command)
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
