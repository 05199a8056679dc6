import { hostname } from "node:os";
import { Command, InvalidArgumentError } from "commander";
import { type BoundAddress, parseAddress } from "../telemetry/http-endpoint.ts";
import { type Format, outputOption, printData } from "./output.ts";
import { flag } from "./flag.ts";
import { xdsAddressOption } from "./serving-flags.ts";

interface BootstrapFlags {
  readonly gateway: string;
  readonly xdsAddress: BoundAddress;
  readonly adminAddress: BoundAddress;
  readonly proxyName: string;
  readonly maxConnections: number;
  readonly output: Format;
}

/** `builtin`, or `namespace/name`. */
function parseGateway(value: string): string {
  if (value === "builtin") return "/builtin";
  if (!/^[a-z0-9-]+\/[a-z0-9.-]+$/.test(value))
    throw new InvalidArgumentError("it is namespace/name of a Gateway, or builtin for the built-in one.");
  return value;
}

function parseAdmin(value: string): BoundAddress {
  const address = parseAddress(value);
  if (address === undefined) throw new InvalidArgumentError("an address is host:port.");
  return address;
}

function parseConnections(value: string): number {
  if (!/^[1-9][0-9]{0,8}$/.test(value)) throw new InvalidArgumentError("a number.");
  return Number(value);
}

const ADMIN = "127.0.0.1:19000";

function bootstrapCommand(): Command {
  return new Command("bootstrap")
    .summary("print what an Envoy is started with")
    .description(
      "Prints the bootstrap configuration of an Envoy that serves one Gateway, wherever it runs: envoy -c <file>. All else it asks the controller for.",
    )
    .requiredOption("--gateway <namespace/name>", "the Gateway that it serves, or builtin", parseGateway)
    .addOption(xdsAddressOption())
    .addOption(
      flag("--admin-address <host:port>", "Envoy's own admin endpoint: who reaches it can stop the proxy")
        .default(parseAdmin(ADMIN), ADMIN)
        .argParser(parseAdmin),
    )
    .addOption(flag("--proxy-name <name>", "names the proxy in logs and statuses").default(hostname()))
    .addOption(
      flag("--max-connections <n>", "connections of clients at a time; more are refused")
        .default(10_000)
        .argParser(parseConnections),
    )
    .addOption(outputOption(["yaml", "json"], "yaml"))
    .action(async ({ gateway, xdsAddress, adminAddress, proxyName, maxConnections, output }: BootstrapFlags) => {
      const { bootstrap } = await import("../xds/bootstrap.ts");
      const config = bootstrap({
        gateway: `Gateway/${gateway}` as Parameters<typeof bootstrap>[0]["gateway"],
        proxy: proxyName,
        controller: { address: xdsAddress.host, port: xdsAddress.port },
        admin: { address: adminAddress.host, port: adminAddress.port },
        maxConnections,
      });
      printData(config, output);
    });
}

export function envoyCommand(): Command {
  return new Command("envoy").summary("what Envoys need to serve Gateways").addCommand(bootstrapCommand());
}
