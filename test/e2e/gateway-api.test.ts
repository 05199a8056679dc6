import { readFileSync } from "node:fs";
import type { Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { join } from "node:path";
import { connect } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import type { Condition } from "../../src/api/condition.ts";
import type { ServiceRouteStatus } from "../../src/api/service-route.ts";
import type { GatewayStatus } from "../../src/status/merge.ts";
import { Cluster } from "../support/cluster.ts";
import { ask, namedBackend, route, service, slice, to } from "../support/cluster-traffic.ts";
import { ControllerProcess } from "../support/controller.ts";
import { until } from "../support/data-plane.ts";
import { rightsGranted, rightsUsed } from "../support/rights.ts";

const ROOT = join(import.meta.dirname, "../..");
const cluster = new Cluster();
let controller: ControllerProcess;
let backend: Server;

/** Gateway API's own CRDs, from its Go module. */
function gatewayApiCrds(): string {
  const folder = process.env["SERVICEROUTE_GATEWAY_API"];
  if (folder === undefined)
    throw new Error("SERVICEROUTE_GATEWAY_API is not set; run these tests with: npm run test:e2e");
  return join(folder, "config/crd/experimental");
}

async function certificateShown(address: string, port: number, servername: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port, servername, rejectUnauthorized: false }, () => {
      const { CN } = socket.getPeerCertificate().subject as { CN?: string };
      socket.destroy();
      resolve(CN ?? "");
    });
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

const find = (conditions: readonly Condition[] | undefined, type: string): string => {
  const found = conditions?.find((c) => c.type === type);
  return found === undefined ? "" : `${found.status}/${found.reason}`;
};
const gatewayStatus = async (name: string): Promise<GatewayStatus> =>
  (await cluster.get<{ status?: GatewayStatus }>(["gateway", name])).status ?? {};
const routeStatus = async (name: string): Promise<ServiceRouteStatus> =>
  (await cluster.get<{ status?: ServiceRouteStatus }>(["serviceroute", name])).status ?? {};

const gateway = (name: string, listeners: string): string =>
  `---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: ${name}, namespace: default}\nspec: {gatewayClassName: serviceroute, listeners: [${listeners}]}\n`;
const WEB = to("web");

beforeAll(async () => {
  await cluster.start();
  backend = await namedBackend("198.51.100.21", "web");
  await cluster.apply(readFileSync(join(ROOT, "crds/serviceroute.dev_serviceroutes.yaml"), "utf8"));
  const base = await cluster.kubectl(["kustomize", join(ROOT, "manifests/base")]);
  const wanted = parseAllDocuments(base.stdout).map((document) => document.toString());
  // The rights as shipped; the Deployment is not needed here.
  await cluster.apply(
    wanted.filter((text) => !/^kind: (Deployment|Service|PodDisruptionBudget)$/m.test(text)).join("---\n"),
  );
  await cluster.apply(service("web") + slice("web", ["198.51.100.21"]));
  const kubeconfig = await cluster.tokenKubeconfig("serviceroute-system", "serviceroute");
  controller = await new ControllerProcess(
    cluster,
    [
      "--leader-elect",
      "--replica-name",
      "r1",
      "--bind-address",
      "198.51.100.10",
      "--gateway-address-pool",
      "192.0.2.0/28",
    ],
    kubeconfig,
  ).ready();
});

afterAll(async () => {
  await controller.stop();
  backend.close();
  await cluster.stop();
});

describe("with the rights as shipped", () => {
  test("the built-in gateway serves where Gateway API is not installed", async () => {
    await cluster.apply(route("plain", `{hostnames: [plain.example.com], ${WEB}}`));
    await until("served", async () => (await ask("198.51.100.10", 8080, "plain.example.com")) === "web");
    await until(
      "Programmed",
      async () => find((await routeStatus("plain")).conditions, "Programmed") === "True/Programmed",
    );
  });

  test("F39: Gateway API arrives later: its Gateways are served, each on an address of its own", async () => {
    const { code, stderr } = await cluster.kubectl(["apply", "--server-side", "-k", gatewayApiCrds()]);
    expect(code, stderr).toBe(0);
    await cluster.kubectl([
      "wait",
      "--for=condition=Established",
      "crd/gateways.gateway.networking.k8s.io",
      "--timeout=30s",
    ]);
    await cluster.apply(readFileSync(join(ROOT, "manifests/overlays/gateway-api/gatewayclass.yaml"), "utf8"));
    await cluster.apply(
      gateway("one", "{name: http, port: 80, protocol: HTTP}") +
        gateway("two", "{name: http, port: 80, protocol: HTTP}"),
    );
    await cluster.apply(route("on-one", `{parentRefs: [{name: one}], hostnames: [x.example.com], ${WEB}}`));
    const address = async (name: string): Promise<string> => (await gatewayStatus(name)).addresses?.[0]?.value ?? "";
    await until("addresses", async () => (await address("one")) !== "" && (await address("two")) !== "", 30_000);
    const [one, two] = [await address("one"), await address("two")];
    expect(one).not.toBe(two);
    await until("it answers at its address", async () => (await ask(one, 80, "x.example.com")) === "web");
    expect(await ask(two, 80, "x.example.com")).toBe("404");
    await until("counted", async () => (await gatewayStatus("one")).listeners?.[0]?.attachedRoutes === 1);
    expect(find((await gatewayStatus("one")).conditions, "Programmed")).toBe("True/Programmed");
    const { stdout } = await cluster.kubectl(["get", "gatewayclass", "serviceroute"]);
    expect(stdout).toMatch(/serviceroute +serviceroute\.dev\/gateway-controller +True/);
  });

  test("an address is kept across a restart", async () => {
    const before = (await gatewayStatus("two")).addresses;
    await cluster.kubectl(["delete", "gateway", "one", "--wait"]);
    await controller.stop();
    const kubeconfig = await cluster.tokenKubeconfig("serviceroute-system", "serviceroute");
    controller = await new ControllerProcess(
      cluster,
      [
        "--leader-elect",
        "--replica-name",
        "r1",
        "--bind-address",
        "198.51.100.10",
        "--builtin-gateway",
        "--gateway-address-pool",
        "192.0.2.0/28",
      ],
      kubeconfig,
    ).ready();
    await new Promise((resolve) => setTimeout(resolve, 2000));
    expect((await gatewayStatus("two")).addresses).toEqual(before);
  });

  test("F52: a port that only the other replica cannot bind is said so, as long as that is so", async () => {
    const conditions = async () => (await gatewayStatus("two")).listeners?.[0]?.conditions;
    await until("served", async () => find(await conditions(), "Programmed") === "True/Programmed");
    // On the same host it finds the pool's addresses taken by the first.
    const flags = ["--leader-elect", "--replica-name", "r2", "--bind-address", "198.51.100.11"];
    const pool = ["--gateway-address-pool", "192.0.2.0/28"];
    const kubeconfig = await cluster.tokenKubeconfig("serviceroute-system", "serviceroute");
    const second = await new ControllerProcess(cluster, [...flags, ...pool, "--builtin-gateway"], kubeconfig).ready();
    await until("told", async () => find(await conditions(), "Programmed") === "False/PortUnavailable", 15_000);
    const message = (await conditions())?.find(({ type }) => type === "Programmed")?.message;
    expect(message).toMatch(/^on 1 of 2 replicas: port 80 of 192\.0\.2\.[0-9]+ cannot be bound: is in use$/);
    expect((await gatewayStatus("two")).addresses?.length, "the other still serves there").toBe(1);
    await second.stop();
    await until("served again", async () => find(await conditions(), "Programmed") === "True/Programmed", 15_000);
  });

  test("a Secret may not be read until it is granted, and status has the line that grants it", async () => {
    const { cert, key } = cluster.pki.issue("site", "/CN=site", "subjectAltName=DNS:site.example.com");
    await cluster.kubectl(["create", "secret", "tls", "site", `--cert=${cert}`, `--key=${key}`]);
    await cluster.kubectl(["create", "secret", "generic", "unrelated", "--from-literal=password=canary-7f3a"]);
    await cluster.apply(
      gateway(
        "secure",
        "{name: https, port: 443, protocol: HTTPS, hostname: site.example.com, tls: {certificateRefs: [{name: site}]}}",
      ),
    );
    const listener = async () => (await gatewayStatus("secure")).listeners?.[0]?.conditions;
    let message = "";
    await until("refused, with the line", async () => {
      message = (await listener())?.find((c) => c.type === "ResolvedRefs")?.message ?? "";
      return message.includes("rolebinding");
    });
    expect(find(await listener(), "ResolvedRefs")).toBe("False/InvalidCertificateRef");
    const line = /kubectl (-n default create rolebinding .*)$/.exec(message)?.[1] ?? "";
    expect(line).toContain("--clusterrole=serviceroute-secrets");
    await cluster.kubectl(line.split(" "));
    await until("served", async () => find(await listener(), "Programmed") === "True/Programmed", 60_000);
    const address = (await gatewayStatus("secure")).addresses?.[0]?.value ?? "";
    expect(await certificateShown(address, 443, "site.example.com")).toBe("site");

    const renewed = cluster.pki.issue("renewed", "/CN=renewed", "subjectAltName=DNS:site.example.com");
    const secret = await cluster.kubectl([
      "create",
      "secret",
      "tls",
      "site",
      `--cert=${renewed.cert}`,
      `--key=${renewed.key}`,
      "--dry-run=client",
      "-o",
      "yaml",
    ]);
    await cluster.apply(secret.stdout);
    await until("rotated", async () => (await certificateShown(address, 443, "site.example.com")) === "renewed");
  });

  test("BackendTLSPolicy: a backend is verified by the bundle that it names, and fails closed without it (S23)", async () => {
    const { cert, key } = cluster.pki.issue("secure", "/CN=secure", "subjectAltName=DNS:secure.internal");
    const secure = createSecureServer({ cert: readFileSync(cert), key: readFileSync(key) }, (_request, response) =>
      response.end("verified"),
    );
    await new Promise<void>((resolve) => secure.listen(8000, "198.51.100.22", resolve));
    await cluster.kubectl(["create", "configmap", "ca", `--from-file=ca.crt=${cluster.pki.path("ca.crt")}`]);
    await cluster.apply(
      gateway("strict", "{name: http, port: 80, protocol: HTTP}") +
        service("secure") +
        slice("secure", ["198.51.100.22"]) +
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {name: secure, namespace: default}\n" +
        "spec: {targetRefs: [{group: '', kind: Service, name: secure}], validation: {hostname: secure.internal, caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]}}\n" +
        route("secure", `{parentRefs: [{name: strict}], hostnames: [secure.example.com], ${to("secure")}}`),
    );
    await until("the Gateway has an address", async () => (await gatewayStatus("strict")).addresses?.length === 1);
    const address = (await gatewayStatus("strict")).addresses?.[0]?.value ?? "";
    await until("verified", async () => (await ask(address, 80, "secure.example.com")) === "verified");
    await cluster.kubectl(["delete", "configmap", "ca"]);
    await until("refused", async () => (await ask(address, 80, "secure.example.com")).startsWith("500"));
    const reason = async (): Promise<string> => find((await routeStatus("secure")).conditions, "ResolvedRefs");
    await until("the status says why", async () => (await reason()) === "False/InvalidCACertificateRef");
    secure.close();
  });

  test("allowedRoutes: a namespace by its label, and detached when the label goes (B11)", async () => {
    await cluster.kubectl(["create", "namespace", "tenant"]);
    await cluster.kubectl(["label", "namespace", "tenant", "team=shop"]);
    await cluster.apply(
      gateway(
        "by-label",
        "{name: http, port: 8000, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: shop}}}}}",
      ),
    );
    await cluster.apply(
      route(
        "r",
        "{parentRefs: [{name: by-label, namespace: default}], rules: [{filters: [{type: DirectResponse, directResponse: {statusCode: 200, body: tenant}}]}]}",
      ).replace("namespace: default}\nspec", "namespace: tenant}\nspec"),
    );
    const status = async (): Promise<string> =>
      find(
        (await cluster.get<{ status?: ServiceRouteStatus }>(["-n", "tenant", "serviceroute", "r"])).status?.conditions,
        "Accepted",
      );
    await until("attached", async () => (await status()) === "True/Accepted");
    await cluster.kubectl(["label", "namespace", "tenant", "team-"]);
    await until("detached", async () => (await status()) === "False/NotAllowedByListeners");
    await cluster.kubectl(["delete", "namespace", "tenant", "--wait"]);
  });

  test("P19, S24, S25: rights used are rights granted, none is refused, and no other Secret is read", async () => {
    const granted = await rightsGranted(cluster, join(ROOT, "manifests/base"));
    const { used, refused } = rightsUsed(cluster);
    expect([...used].sort()).toEqual([...granted].sort());
    expect([...refused].sort()).toEqual(["list secrets"]);
    const secrets = cluster
      .audit()
      .filter(({ user, objectRef }) => user.username.endsWith(":serviceroute") && objectRef?.resource === "secrets");
    expect(new Set(secrets.map(({ objectRef }) => objectRef?.name))).toEqual(new Set(["site"]));
  });

  test("S25: no key and no foreign Secret in logs, metrics, statuses or dumps", async () => {
    const texts = await Promise.all(
      ["/metrics", "/v1/table", "/v1/routes", "/v1/gateways"].map(async (path) =>
        (await fetch(`${controller.admin}${path}`)).text(),
      ),
    );
    const all = [...texts, controller.program.output].join("\n");
    expect(all).not.toContain("PRIVATE KEY");
    expect(all).not.toContain("canary-7f3a");
    expect(all).not.toContain(readFileSync(cluster.pki.path("site.key"), "utf8").split("\n")[1]);
  });

  test("S7, S8: the admin endpoint answers GET alone", async () => {
    for (const method of ["POST", "PUT", "DELETE", "PATCH"])
      expect((await fetch(`${controller.admin}/v1/table`, { method })).status).toBe(405);
    expect((await fetch(`${controller.admin}/quitquitquit`)).status).toBe(404);
  });
});
