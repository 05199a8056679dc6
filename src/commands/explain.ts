import { Command } from "commander";
import { displayName } from "../api/keys.ts";
import { type ExplainedBackend, type Explanation, explain } from "../routing/explain.ts";
import { adminOption, askAdmin } from "./admin-client.ts";
import { explainRequest } from "./explain-request.ts";
import type { RetryPolicy } from "../routing/rule.ts";
import { outputOption, paint, print, printData, type Format } from "./output.ts";
import { gatewayClassOption } from "./gateway-flags.ts";
import { type ReadingFlags, readFolder, translateReading } from "./validate.ts";

const MAX_LOSERS = 50;

function printBackend({
  name,
  weight,
  sharePercent,
  problem,
  endpoints,
  filters,
  cluster = [],
}: ExplainedBackend): void {
  const state =
    endpoints === undefined
      ? paint("red", problem ?? "")
      : `${endpoints.ready} ready, ${endpoints.draining} draining of ${endpoints.total}`;
  print(`    ${name}  weight ${weight}  share ${sharePercent} %  ${state}`);
  for (const address of endpoints?.addresses ?? []) print(`      ${address}`);
  for (const filter of filters) print(`      filter ${filter}`);
  for (const text of cluster) print(`      ${text}`);
}

function printWinner({ winner }: Explanation): void {
  if (winner === undefined) return;
  print(`Rule      ${paint("green", `${displayName(winner.route)} ${winner.rule}`)}  (${winner.match})`);
  print(`Action    ${winner.action}`);
  for (const filter of winner.filters) print(`Filter    ${filter}`);
  const { requestTimeoutMs, backendTimeoutMs, idleTimeoutMs, connectTimeoutMs, retry, maxRequestBody } = winner.policy;
  const limit = (ms: number): string => (ms === 0 ? "none" : `${ms} ms`);
  print(
    `Timeouts  request ${limit(requestTimeoutMs)}, backendRequest ${limit(backendTimeoutMs)}, idle ${limit(idleTimeoutMs)}, connect ${limit(connectTimeoutMs)}`,
  );
  print(`Retry     ${describeRetry(retry)}`);
  if (maxRequestBody > 0) print(`Body      at most ${maxRequestBody} bytes`);
  if (winner.backends.length > 0) print("Backends");
  for (const backend of winner.backends) printBackend(backend);
  if (winner.fallback === undefined) return;
  print("Fallback");
  printBackend(winner.fallback);
}

function describeRetry({ connectFailureOnly, ...retry }: RetryPolicy): string {
  if (connectFailureOnly) return "only a connection that cannot be opened, once";
  const codes = retry.codes.join(", ") || "no status";
  const budget = `at most ${retry.budgetPercent} % of what is active, or ${retry.budgetMinConcurrent}`;
  return `${retry.attempts} times, also on ${codes}; ${retry.backoffMs} ms apart, then more; ${budget}`;
}

function printExplanation(explanation: Explanation): void {
  print(`Listener  ${explanation.listener ?? "none"}`);
  if (explanation.otherListeners.length > 0)
    print(`          also taken by ${explanation.otherListeners.join(", ")}; choose with a port or --gateway`);
  print(`Host      ${explanation.hostname ?? "none"}`);
  printWinner(explanation);
  if (explanation.answer !== undefined) print(`Answer    ${paint("red", explanation.answer)}`);
  if (explanation.losers.length > 0) print("Others, in order of precedence");
  for (const { route, rule, match, why } of explanation.losers.slice(0, MAX_LOSERS))
    print(`    ${displayName(route)} ${rule}  (${match}): ${why}`);
  const more = explanation.losers.length - MAX_LOSERS;
  if (more > 0) print(`    and ${more} more; -o json shows all`);
}

interface ExplainFlags extends ReadingFlags {
  readonly header: readonly string[];
  readonly admin: string;
  readonly gateway?: string;
  readonly trustedProxy: boolean;
  readonly output: Format;
}

async function explanationOf(
  method: string,
  url: string,
  paths: readonly string[],
  { header, admin, gateway, gatewayClass, trustedProxy }: ExplainFlags,
): Promise<Explanation> {
  const options = { gateway, isProxy: trustedProxy };
  if (paths.length > 0) {
    const request = explainRequest(method, url, header, options);
    const translator = translateReading(await readFolder(paths), { gatewayClass });
    translator.flush();
    return explain(translator.table, request);
  }
  // What is written wrongly is told at once; which headers it takes the gateway knows.
  explainRequest(method, url, header, { ...options, policy: { underscores: "allow" } });
  const query = new URLSearchParams([
    ["method", method],
    ["url", url],
    ...header.map((line) => ["header", line] as [string, string]),
    ...(gateway === undefined ? [] : [["gateway", gateway] as [string, string]]),
    ...(trustedProxy ? [["trusted-proxy", "true"] as [string, string]] : []),
  ]);
  return (await askAdmin(admin, `/v1/explain?${query.toString()}`)) as Explanation;
}

export function explainCommand(): Command {
  return new Command("explain")
    .summary("show which rule takes a request, and why the others do not")
    .argument("<method>", "HTTP method; or TCP, TLS or UDP for what is no request")
    .argument("<url>", "the whole URL; with TCP, TLS and UDP host:port or :port; a port selects the listeners on it")
    .argument("[path...]", "manifests to ask instead of a running gateway")
    .option(
      "-H, --header <line>",
      "a request header, 'name: value'; may be repeated",
      (line: string, all: readonly string[]) => [...all, line],
      [],
    )
    .option("--gateway <namespace/name>", "only listeners of this Gateway, or builtin")
    .option(
      "--trusted-proxy",
      "the request comes from a proxy that the gateway trusts: X-Forwarded-* is believed",
      false,
    )
    .addOption(adminOption())
    .addOption(gatewayClassOption())
    .addOption(outputOption(["table", "json", "yaml"], "table"))
    .action(async (method: string, url: string, paths: string[], flags: ExplainFlags) => {
      const explanation = await explanationOf(method, url, paths, flags);
      if (flags.output === "table") printExplanation(explanation);
      else printData(explanation, flags.output);
    });
}
