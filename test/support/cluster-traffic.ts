import { type Server, createServer, request } from "node:http";

/** A backend on an address of its own that says its name. */
export async function namedBackend(address: string, name: string): Promise<Server> {
  const server = createServer((incoming, response) => {
    incoming.resume();
    incoming.on("end", () => response.end(name));
  });
  await new Promise<void>((resolve) => server.listen(8000, address, resolve));
  return server;
}

export const service = (name: string, namespace = "default"): string =>
  `---\napiVersion: v1\nkind: Service\nmetadata: {name: ${name}, namespace: ${namespace}}\nspec: {ports: [{name: http, port: 80}]}\n`;
export const slice = (name: string, addresses: readonly string[], namespace = "default"): string =>
  `---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: ${name}-manual, namespace: ${namespace}, labels: {kubernetes.io/service-name: ${name}}}\naddressType: IPv4\nports: [{name: http, port: 8000}]\nendpoints: [${addresses.map((a) => `{addresses: [${a}]}`).join(", ")}]\n`;
export const route = (name: string, spec: string, namespace = "default"): string =>
  `---\napiVersion: serviceroute.dev/v1alpha1\nkind: ServiceRoute\nmetadata: {name: ${name}, namespace: ${namespace}}\nspec: ${spec}\n`;
/** The rules that send everything to one Service. */
export const to = (name: string): string => `rules: [{backendRefs: [{name: ${name}, port: 80}]}]`;

/** The body of a 200; else the status, or the error. */
export async function ask(address: string, port: number, host: string, path = "/"): Promise<string> {
  return new Promise((resolve) => {
    const outgoing = request({ host: address, port, path, headers: { host }, agent: false }, (incoming) => {
      let body = "";
      incoming.on("data", (chunk: Buffer) => (body += chunk.toString()));
      incoming.on("end", () => resolve(incoming.statusCode === 200 ? body : String(incoming.statusCode)));
    });
    outgoing.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "error"));
    outgoing.end();
  });
}
