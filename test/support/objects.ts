import { readManifest } from "../../src/sources/files/manifest.ts";
import type { KubeObject } from "../../src/api/objects.ts";
import { Store } from "../../src/snapshot/store.ts";
import type { TranslateOptions } from "../../src/translate/options.ts";
import type { Output } from "../../src/translate/output.ts";
import { Translator } from "../../src/translate/translator.ts";

export const OPTIONS: TranslateOptions = {
  classByName: true,
  bindAddress: "127.0.0.1",
  advertisedAddress: "127.0.0.1",
  allowLoopback: true,
  builtin: { httpPort: 8080, httpsPort: 8443 },
};

/** Objects of manifests; a manifest that is wrong is the test's own mistake. */
export function objectsFrom(yaml: string): KubeObject[] {
  const { objects, errors } = readManifest("test.yaml", yaml);
  if (errors.length > 0) throw new Error(errors.map(({ line, message }) => `${line}: ${message}`).join("\n"));
  return objects.map(({ object }) => object);
}

export interface Pipeline {
  readonly store: Store;
  readonly translator: Translator;
  /** Applies manifests and returns what changed. */
  apply(yaml: string): Output | undefined;
  /** What changed since the last time, until nothing more does: the newest of each status. */
  settle(): Output | undefined;
}

function merged(all: readonly Output[]): Output | undefined {
  const [first] = all;
  if (first === undefined) return undefined;
  return {
    ...first,
    routeStatuses: new Map(all.flatMap((one) => [...one.routeStatuses])),
    gatewayStatuses: new Map(all.flatMap((one) => [...one.gatewayStatuses])),
    translations: new Map(all.flatMap((one) => [...one.translations])),
    failures: all.flatMap((one) => one.failures),
  };
}

export function pipeline(options: Partial<TranslateOptions> = {}): Pipeline {
  const store = new Store();
  const translator = new Translator(store, { ...OPTIONS, ...options });
  const settle = (): Output | undefined => {
    const all: Output[] = [];
    for (let output = translator.flush(); output !== undefined; output = translator.flush()) all.push(output);
    return merged(all);
  };
  return {
    store,
    translator,
    settle,
    apply: (yaml) => {
      store.transaction(() => {
        for (const object of objectsFrom(yaml)) store.apply(object);
      });
      return settle();
    },
  };
}

/** A Service with one slice of ready loopback endpoints. */
export function serviceYaml(name: string, ports: readonly number[] = [9001], namespace = "default"): string {
  const slice = ports
    .map(
      (port, i) => `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ${name}-${i}, namespace: ${namespace}, labels: {kubernetes.io/service-name: ${name}}}
addressType: IPv4
ports: [{port: ${port}}]
endpoints: [{addresses: [127.0.0.1]}]
`,
    )
    .join("");
  return `---
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: ${namespace}}
spec: {ports: [{port: 80, appProtocol: http}]}
${slice}`;
}

/** The same with a port of UDP. */
export function datagramServiceYaml(name: string, ports: readonly number[]): string {
  return serviceYaml(name, ports)
    .replace("appProtocol: http", "protocol: UDP")
    .replaceAll("ports: [{port:", "ports: [{protocol: UDP, port:")
    .replace("{protocol: UDP, port: 80, protocol: UDP}", "{port: 80, protocol: UDP}");
}

/** A ServiceRoute from its spec in YAML flow or block style. */
export function routeYaml(name: string, spec: string, metadata = ""): string {
  const indented = spec
    .trim()
    .split("\n")
    .map((line) => `  ${line}`)
    .join("\n");
  return `---
apiVersion: serviceroute.dev/v1alpha1
kind: ServiceRoute
metadata: {name: ${name}${metadata === "" ? "" : `, ${metadata}`}}
spec:
${indented}
`;
}

export function secretYaml(name: string, cert: string, key: string, type = "kubernetes.io/tls"): string {
  const data = (text: string): string => JSON.stringify(Buffer.from(text).toString("base64"));
  return `---\napiVersion: v1\nkind: Secret\nmetadata: {name: ${name}}\ntype: ${type}\ndata: {tls.crt: ${data(cert)}, tls.key: ${data(key)}}\n`;
}
