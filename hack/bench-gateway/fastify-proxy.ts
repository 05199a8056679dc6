/** `@fastify/http-proxy` as its documentation shows it. Arguments: the backend's port, and ours. */
import { createRequire } from "node:module";
import { join } from "node:path";

const [backend, port] = process.argv.slice(2);
const load = createRequire(join(import.meta.dirname, "peers/package.json"));

/** What is used of it, which is not there when types are checked. */
interface Fastify {
  register(plugin: unknown, options: object): Promise<unknown>;
  listen(options: object): Promise<unknown>;
}
const server = (load("fastify") as () => Fastify)();
const upstream = `http://127.0.0.1:${backend}`;
await server.register(load("@fastify/http-proxy"), { upstream, websocket: true, http2: false });
await server.listen({ host: "127.0.0.1", port: Number(port) });
console.log("ready");
