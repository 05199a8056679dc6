import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { BAD_RULES, BAD_SPECS } from "../support/bad-input.ts";
import { apiCluster } from "../support/api-cluster.ts";

const ROOT = join(import.meta.dirname, "../..");
const GATEWAY_API = process.env["SERVICEROUTE_GATEWAY_API"] ?? "";
const cluster = apiCluster();

interface Document {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata?: { readonly name?: string };
  readonly spec?: unknown;
}

/** Every HTTPRoute of upstream's own examples, good and bad. */
function upstreamRoutes(folder: string): { title: string; document: Document }[] {
  const files = readdirSync(join(GATEWAY_API, folder), { recursive: true, encoding: "utf8" }).filter(
    (name) => name.endsWith(".yaml") && statSync(join(GATEWAY_API, folder, name)).isFile(),
  );
  return files.flatMap((name) =>
    parseAllDocuments(readFileSync(join(GATEWAY_API, folder, name), "utf8"))
      .map((document) => document.toJS() as Document | null)
      .filter((document): document is Document => document?.kind === "HTTPRoute")
      .map((document, i) => ({ title: `${folder}/${name} #${i}`, document })),
  );
}

const create = async (kind: string, apiVersion: string, spec: unknown) =>
  cluster.kubectl(
    ["create", "--dry-run=server", "--validate=strict", "-f", "-"],
    JSON.stringify({ apiVersion, kind, metadata: { name: "t", namespace: "default" }, spec }),
  );
const asServiceRoute = async (spec: unknown) => create("ServiceRoute", "serviceroute.dev/v1alpha1", spec);

beforeAll(async () => {
  await cluster.start();
  for (const args of [
    ["apply", "--server-side", "-f", join(ROOT, "crds")],
    [
      "apply",
      "--server-side",
      "-f",
      join(GATEWAY_API, "config/crd/experimental/gateway.networking.k8s.io_httproutes.yaml"),
    ],
    [
      "wait",
      "--for=condition=Established",
      "crd/serviceroutes.serviceroute.dev",
      "crd/httproutes.gateway.networking.k8s.io",
      "--timeout=30s",
    ],
  ]) {
    const { code, stderr } = await cluster.kubectl(args);
    expect(code, stderr).toBe(0);
  }
});
afterAll(async () => cluster.stop());

describe("the CRD", () => {
  const schema = readFileSync(join(ROOT, "crds/serviceroute.dev_serviceroutes.yaml"), "utf8");

  test("stores no defaults and keeps no unknown fields", () => {
    expect(schema).not.toMatch(/^ *default:/m);
    expect(schema).not.toContain("x-kubernetes-preserve-unknown-fields");
  });

  test("fits into the annotation of client-side apply", async () => {
    expect(JSON.stringify(parse(schema)).length).toBeLessThan(262_144);
    expect((await cluster.kubectl(["apply", "--dry-run=server", "-f", join(ROOT, "crds")])).code).toBe(0);
  });
});

test("B1: an object without a spec is refused", async () => {
  const route = { apiVersion: "serviceroute.dev/v1alpha1", kind: "ServiceRoute", metadata: { name: "t" } };
  const { code, stderr } = await cluster.kubectl(["create", "--dry-run=server", "-f", "-"], JSON.stringify(route));
  expect([code, stderr]).toEqual([1, expect.stringContaining("spec: Required value")]);
});

describe("HTTPRoutes of upstream are judged alike as ServiceRoutes", () => {
  const routes = GATEWAY_API === "" ? [] : [...upstreamRoutes("examples"), ...upstreamRoutes("hack/invalid-examples")];

  test("there are enough of them", () => expect(routes.length).toBeGreaterThan(50));

  test.for(routes)("$title", async ({ document }) => {
    const [theirs, ours] = await Promise.all([
      create("HTTPRoute", "gateway.networking.k8s.io/v1", document.spec),
      asServiceRoute(document.spec),
    ]);
    expect(ours.code === 0, ours.stderr).toBe(theirs.code === 0);
  });
});

describe("bad input is refused by the API server with 422, or left to the controller by name", () => {
  const rows = [
    ...BAD_SPECS.map((row) => [row[0], row[1], row[3]] as const),
    ...BAD_RULES.map((row) => [row[0], `rules: [{${row[1]}}]`, row[3]] as const),
  ];
  test.for(rows)("%s", async ([title, yaml, who]) => {
    const { code, stderr } = await asServiceRoute(parse(yaml));
    expect(code === 0, stderr).toBe(who === "controller only");
    if (who === "controller only") return;
    // kubectl's words for 422. A field that the schema does not have is refused before, by strict decoding.
    const refused = /unknown field/.test(stderr)
      ? /strict decoding error: unknown field "spec\./
      : /^The ServiceRoute "t" is invalid: \n?\*? ?spec\./;
    expect(stderr, title).toMatch(refused);
  });
});
