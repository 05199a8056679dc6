import { Argument, Command } from "commander";
import type { Condition } from "../api/condition.ts";
import type { ServiceRouteStatus } from "../api/service-route.ts";
import type { GatewayStatus } from "../status/merge.ts";
import { adminOption, askAdmin } from "./admin-client.ts";
import { CommandError } from "./exit.ts";
import { outputOption, printData, printTable, type Format } from "./output.ts";

interface Listed<Status> {
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly creationTimestamp?: string };
  readonly spec: { readonly gatewayClassName?: string };
  readonly status?: Status;
}
interface GetFlags {
  readonly namespace: string;
  readonly allNamespaces?: boolean;
  readonly admin: string;
  readonly output: Format;
}

const statusOf = (conditions: readonly Condition[] | undefined, type: string): string =>
  conditions?.find((c) => c.type === type)?.status ?? "";

/** As kubectl prints an age: the largest unit or two. */
function ageOf(created: string | undefined, now: number): string {
  if (created === undefined) return "";
  const seconds = Math.max(0, Math.floor((now - Date.parse(created)) / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`;
}

function routeRow({ metadata, status }: Listed<ServiceRouteStatus>, wide: boolean): string[] {
  const { summary, conditions } = status ?? {};
  const row = [
    metadata.name,
    summary?.hostnames ?? "",
    statusOf(conditions, "Accepted"),
    statusOf(conditions, "Programmed"),
    summary?.endpoints ?? "",
    ageOf(metadata.creationTimestamp, Date.now()),
  ];
  if (!wide) return row;
  return [
    ...row,
    summary?.proxies ?? "",
    statusOf(conditions, "ResolvedRefs"),
    conditions?.find((c) => c.type === "Ready")?.reason ?? "",
  ];
}

function gatewayRow({ metadata, spec, status }: Listed<GatewayStatus>): string[] {
  const addresses = (status?.addresses ?? []).map((address) => address.value).join(",");
  return [
    metadata.name,
    spec.gatewayClassName ?? "",
    addresses,
    statusOf(status?.conditions, "Programmed"),
    ageOf(metadata.creationTimestamp, Date.now()),
  ];
}

const ROUTE_HEAD = ["NAME", "HOSTNAMES", "ACCEPTED", "PROGRAMMED", "ENDPOINTS", "AGE"];
const WIDE_HEAD = ["PROXIES", "RESOLVED", "REASON"];
const GATEWAY_HEAD = ["NAME", "CLASS", "ADDRESS", "PROGRAMMED", "AGE"];

function show(what: string, items: readonly Listed<never>[], flags: GetFlags): void {
  const wide = flags.output === "wide";
  const routes = what === "routes";
  const head = routes ? [...ROUTE_HEAD, ...(wide ? WIDE_HEAD : [])] : GATEWAY_HEAD;
  const row = (item: Listed<never>): string[] => (routes ? routeRow(item, wide) : gatewayRow(item));
  const all = flags.allNamespaces === true;
  const rows = items.map((item) => (all ? [item.metadata.namespace ?? "", ...row(item)] : row(item)));
  printTable(
    all ? ["NAMESPACE", ...head] : head,
    rows,
    all ? "No resources found." : `No resources found in ${flags.namespace} namespace.`,
  );
}

export function getCommand(): Command {
  return new Command("get")
    .summary("show routes or gateways with their status, from a running gateway or controller")
    .addArgument(new Argument("<what>", "what to show").choices(["routes", "gateways"]))
    .argument("[name]", "one object")
    .option("-n, --namespace <name>", "namespace to look in", "default")
    .option("-A, --all-namespaces", "look in all namespaces")
    .addOption(adminOption())
    .addOption(outputOption(["table", "wide", "json", "yaml"], "table"))
    .action(async (what: string, name: string | undefined, flags: GetFlags) => {
      const { items } = (await askAdmin(flags.admin, `/v1/${what}`)) as { items: readonly Listed<never>[] };
      const inNamespace = items.filter(
        ({ metadata }) =>
          flags.allNamespaces === true || metadata.namespace === undefined || metadata.namespace === flags.namespace,
      );
      const chosen = inNamespace.filter(({ metadata }) => name === undefined || metadata.name === name);
      if (name !== undefined && chosen.length === 0) throw new CommandError(`${what.slice(0, -1)} "${name}" not found`);
      if (flags.output === "json" || flags.output === "yaml")
        return printData(
          name === undefined ? { apiVersion: "v1", kind: "List", items: chosen } : chosen[0],
          flags.output,
        );
      show(what, chosen, flags);
    });
}
