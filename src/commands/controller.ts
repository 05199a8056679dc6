import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { Command, Option } from "commander";
import { flag, parseName, parseSeconds, toggle } from "./flag.ts";
import { addGatewayFlags } from "./gateway-flags.ts";
import type { ControllerFlags } from "./run-controller.ts";
import { stopSignal } from "./stop-signal.ts";

const SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";

function ownNamespace(): string {
  try {
    return readFileSync(`${SERVICE_ACCOUNT}/namespace`, "utf8").trim();
  } catch {
    return "serviceroute-system";
  }
}

/** Names of hosts may have what names of objects may not. */
const ownName = (): string =>
  hostname()
    .toLowerCase()
    .replaceAll(/[^a-z0-9.-]/g, "-")
    .replaceAll(/^[.-]+|[.-]+$/g, "") || "replica";

export function controllerCommand(): Command {
  const command = new Command("controller")
    .summary("serve what a cluster says, and write its statuses")
    .description(
      "Watches ServiceRoutes, Gateways, Services and EndpointSlices of a Kubernetes API server, serves them, and writes status back.",
    );
  addGatewayFlags(command, { metricsAddress: "off", builtin: "on where Gateway API is not installed" })
    .addOption(
      flag("--kubeconfig <file>", "kubeconfig to use (default: as kubectl finds it, or the pod's service account)"),
    )
    .addOption(flag("--namespace <name>", "look at one namespace only").argParser(parseName))
    .addOption(
      flag("--last-good-file <file>", "keeps what is served, to start from when the API server is away (no Secrets)"),
    )
    .addOption(
      flag("--last-good-max-age <time>", "oldest such file to start from")
        .default(86_400, "24h")
        .argParser(parseSeconds),
    )
    .addOption(toggle("--gateway-services", "keep a Service for each Gateway, and listen behind it"))
    .addOption(
      flag("--pod-service <name>", "Service in front of these pods, in the system namespace").default("serviceroute"),
    )
    .addOption(toggle("--leader-elect", "choose one of several replicas to write statuses"))
    .addOption(
      flag("--system-namespace <name>", "namespace of the leader's and the replicas' Leases").default(ownNamespace()),
    )
    .addOption(
      flag("--service-account <namespace:name>", "named in hints about missing rights").default(
        `${ownNamespace()}:serviceroute`,
      ),
    )
    .addOption(
      new Option("--replica-name <name>", "this replica's name, part of the name of its Lease")
        .env("SERVICEROUTE_REPLICA_NAME")
        .argParser(parseName)
        .default(ownName()),
    );
  return command.action(async (flags: ControllerFlags) => {
    // The client library is large; only this command pays for it.
    const { runController } = await import("./run-controller.ts");
    await runController(flags, stopSignal());
  });
}
