import { connect } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect } from "vitest";
import { test } from "../support/contract.ts";
import { WebSocket, WebSocketServer } from "ws";
import { Backend, headersOf, startRaw } from "../support/backend.ts";
import { type DataPlaneRig, until } from "../support/data-plane.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";

/** What the backend gets and what the client gets, on any data plane. */
export function describeForwarding(name: string, start: () => Promise<DataPlaneRig>): void {
  describe(`${name}: forwarding`, () => {
    let rig: DataPlaneRig;
    const web = new Backend("web");
    const shadow = new Backend("shadow");

    beforeAll(async () => {
      await Promise.all([web.start(), shadow.start()]);
      rig = await start();
    });
    afterAll(async () => {
      await rig.close();
      await Promise.all([web.stop(), shadow.stop()]);
    });
    beforeEach(() => {
      web.answer = (_request, response) => response.end("web");
      web.seen.length = 0;
      shadow.seen.length = 0;
    });

    const serve = async (rule: string): Promise<void> =>
      rig.publish(
        serviceYaml("web", [web.port]) + serviceYaml("shadow", [shadow.port]) + routeYaml("r", `rules: [{${rule}}]`),
      );
    const WEB = "backendRefs: [{name: web, port: 80}]";
    const last = () => web.seen.at(-1) ?? { method: "", url: "", headers: [], body: Buffer.alloc(0) };

    test("method, path, query, body and end-to-end headers arrive", async () => {
      await serve(WEB);
      await rig.ask("/p/a?q=1&q=2", {
        method: "POST",
        body: "hello",
        headers: { "x-a": ["1", "2"], "content-type": "text/plain" },
      });
      expect([
        last().method,
        last().url,
        last().body.toString(),
        headersOf(last(), "x-a"),
        headersOf(last(), "content-length"),
      ]).toEqual(["POST", "/p/a?q=1&q=2", "hello", ["1", "2"], ["5"]]);
    });

    test("a chunked body of 1 MB arrives whole", async () => {
      await serve(WEB);
      const chunks = Array.from({ length: 16 }, (_, i) => Buffer.alloc(65_536, i));
      expect((await rig.ask("/", { method: "PUT", body: chunks })).status).toBe(200);
      expect(last().body.equals(Buffer.concat(chunks))).toBe(true);
    });

    test("status, repeated headers and a large body come back", async () => {
      const large = "x".repeat(3_000_000);
      web.answer = (_request, response) =>
        response.writeHead(207, { "set-cookie": ["a=1", "b=2"], "x-b": "y" }).end(large);
      await serve(WEB);
      const reply = await rig.ask("/");
      expect([reply.status, reply.headers["set-cookie"], reply.headers["x-b"], reply.body.length]).toEqual([
        207,
        ["a=1", "b=2"],
        "y",
        large.length,
      ]);
    });

    test.for(["HEAD", "GET"])("a %s answered with 304 or without a body ends", async (method) => {
      web.answer = (request, response) => response.writeHead(request.url === "/304" ? 304 : 200, { "x-b": "y" }).end();
      await serve(WEB);
      expect((await rig.ask("/304", { method })).status).toBe(304);
      expect((await rig.ask("/", { method })).headers["x-b"]).toBe("y");
    });

    test("B54: what a client says of its own origin is replaced", async () => {
      await serve(WEB);
      await rig.ask("/", {
        headers: {
          "x-forwarded-for": "198.51.100.1",
          forwarded: "for=198.51.100.1",
          "x-real-ip": "198.51.100.1",
          "x-forwarded-proto": "https",
        },
      });
      expect(
        ["x-forwarded-for", "forwarded", "x-real-ip", "x-forwarded-proto", "x-forwarded-host"].map((h) =>
          headersOf(last(), h),
        ),
      ).toEqual([["127.0.0.1"], [], [], ["http"], ["a.example.com"]]);
      expect(headersOf(last(), "x-request-id")[0]).toMatch(/^[0-9a-f-]{36}$/);
    });

    test("hop-by-hop headers stay on their hop", async () => {
      await serve(WEB);
      await rig.ask("/", {
        headers: {
          connection: "x-hop",
          "x-hop": "1",
          authorization: "Bearer t",
          te: "trailers",
          "proxy-authorization": "x",
        },
      });
      expect(["x-hop", "authorization", "te", "proxy-authorization"].map((h) => headersOf(last(), h))).toEqual([
        [],
        ["Bearer t"],
        [],
        [],
      ]);
    });

    test("headers change on both ways, the rule's before the backendRef's", async () => {
      web.answer = (_request, response) => response.writeHead(200, { server: "secret", "x-r": "backend" }).end();
      await serve(
        "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-s, value: rule}], add: [{name: x-a, value: rule}], remove: [x-gone]}}, {type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-r, value: rule}], remove: [server]}}]," +
          "backendRefs: [{name: web, port: 80, filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-s, value: ref}]}}]}]",
      );
      const reply = await rig.ask("/", { headers: { "x-a": "client", "x-gone": "1" } });
      expect(["x-s", "x-a", "x-gone"].map((h) => headersOf(last(), h))).toEqual([["ref"], ["client", "rule"], []]);
      expect([reply.headers["server"], reply.headers["x-r"]]).toEqual([undefined, "rule"]);
    });

    test("B29, S4: percent signs in header values are literal", async () => {
      await serve(
        `filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-p, value: "50% %REQ(authorization)%"}]}}], ${WEB}`,
      );
      await rig.ask("/", { headers: { authorization: "secret" } });
      expect(headersOf(last(), "x-p")).toEqual(["50% %REQ(authorization)%"]);
    });

    test.for([
      ["ReplacePrefixMatch", "{type: ReplacePrefixMatch, replacePrefixMatch: /new}", "/new/x?q"],
      ["ReplaceFullPath", "{type: ReplaceFullPath, replaceFullPath: /only}", "/only?q"],
      [
        "ReplaceRegexMatch",
        '{type: ReplaceRegexMatch, replaceRegexMatch: {pattern: "^/old/(.*)$", substitution: "/re/\\\\1"}}',
        "/re/x?q",
      ],
    ] as const)("a rewrite by %s", async ([, path, want]) => {
      await serve(
        `matches: [{path: {value: /old}}], filters: [{type: URLRewrite, urlRewrite: {hostname: in.example.com, path: ${path}}}], ${WEB}`,
      );
      await rig.ask("/old/x?q");
      expect([last().url, headersOf(last(), "host")]).toEqual([want, ["in.example.com"]]);
    });

    test("a rewrite to no path answers 500", async () => {
      await serve(
        `filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceRegexMatch, replaceRegexMatch: {pattern: "^/", substitution: ""}}}}], ${WEB}`,
      );
      expect((await rig.ask("/x")).status).toBe(500);
      expect(web.seen).toEqual([]);
    });

    test.for([
      ["/rx/a-..-..-admin", "/admin"],
      ["/rx/a--b", "/rx/a/b"],
      ["/rx/a-.-b", "/rx/a/b"],
    ])("B36: a rewrite of %s leads out of no folder: %s", async ([path, want]) => {
      await serve(
        `filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceRegexMatch, replaceRegexMatch: {pattern: "-", substitution: "/"}}}}], ${WEB}`,
      );
      await rig.ask(path ?? "");
      expect(last().url).toBe(want);
    });

    test("a request id may be set or removed like any other header", async () => {
      const modifier = (change: string): string =>
        `filters: [{type: RequestHeaderModifier, requestHeaderModifier: {${change}}}], ${WEB}`;
      await serve(modifier("set: [{name: x-request-id, value: mine}]"));
      await rig.ask("/", { headers: { "x-request-id": "theirs" } });
      expect(headersOf(last(), "x-request-id")).toEqual(["mine"]);
      await serve(modifier("remove: [x-request-id]"));
      await rig.ask("/");
      expect(headersOf(last(), "x-request-id")).toEqual([]);
      await serve(WEB);
      await rig.ask("/", { headers: { "x-request-id": "theirs" } });
      expect(headersOf(last(), "x-request-id")).toEqual(["theirs"]);
    });

    test("a redirect", async () => {
      await serve(
        "filters: [{type: RequestRedirect, requestRedirect: {scheme: https, hostname: new.example.com, statusCode: 308, path: {type: ReplacePrefixMatch, replacePrefixMatch: /n}}}]",
      );
      const reply = await rig.ask("/x?q=1");
      expect([reply.status, reply.headers.location]).toEqual([308, "https://new.example.com/n/x?q=1"]);
    });

    test("a direct response", async () => {
      await serve(
        'filters: [{type: DirectResponse, directResponse: {statusCode: 203, body: "pong", contentType: text/x-pong}}]',
      );
      const reply = await rig.ask("/");
      expect([reply.status, reply.body, reply.headers["content-type"]]).toEqual([203, "pong", "text/x-pong"]);
    });

    test("S13: two routes to one backend keep their own filters", async () => {
      const route = (tenant: string): string =>
        routeYaml(
          tenant,
          `hostnames: [${tenant}.example.com]\nrules: [{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: tenant, value: ${tenant}}]}}], ${WEB}}]`,
        );
      await rig.publish(serviceYaml("web", [web.port]) + route("a") + route("b"));
      for (const tenant of ["a", "b"]) {
        await rig.ask("/", { host: `${tenant}.example.com` });
        expect(headersOf(last(), "tenant")).toEqual([tenant]);
      }
    });

    test("a mirror gets a copy, body and all, and its answer is ignored", async () => {
      shadow.answer = (_request, response) => response.writeHead(500).end("shadow");
      await serve(`filters: [{type: RequestMirror, requestMirror: {backendRef: {name: shadow, port: 80}}}], ${WEB}`);
      expect((await rig.ask("/m", { method: "POST", body: "copied" })).body).toBe("web");
      expect((await rig.ask("/g")).body).toBe("web");
      await until("both copies have come", () => shadow.seen.length === 2);
      expect(shadow.seen.map(({ url, body }) => [url, body.toString()]).sort()).toEqual([
        ["/g", ""],
        ["/m", "copied"],
      ]);
    });

    test("a mirror gets the request as it came, before rewrites and header changes", async () => {
      await serve(
        `filters: [{type: RequestMirror, requestMirror: {backendRef: {name: shadow, port: 80}}}, {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-set, value: rule}], remove: [x-gone]}}, {type: URLRewrite, urlRewrite: {hostname: inner.example.com, path: {type: ReplaceFullPath, replaceFullPath: /new}}}], ${WEB}`,
      );
      await rig.ask("/old", { headers: { "x-gone": "1" } });
      await until("the copy has come", () => shadow.seen.length === 1);
      const [copy, original] = [shadow.seen[0]!, web.seen[0]!];
      expect([copy.url, headersOf(copy, "host"), headersOf(copy, "x-set"), headersOf(copy, "x-gone")]).toEqual([
        "/old",
        ["a.example.com"],
        [],
        ["1"],
      ]);
      expect([original.url, headersOf(original, "host"), headersOf(original, "x-set")]).toEqual([
        "/new",
        ["inner.example.com"],
        ["rule"],
      ]);
    });

    test("B40: a mirror that leads to the gateway itself is copied once, not for ever", async () => {
      const mirror = "filters: [{type: RequestMirror, requestMirror: {backendRef: {name: self, port: 80}}}]";
      await rig.publish(
        serviceYaml("web", [web.port]) +
          serviceYaml("self", [rig.port]) +
          routeYaml("r", `rules: [{${mirror}, ${WEB}}]`),
      );
      expect((await rig.ask("/loop")).body).toBe("web");
      await until("the copy has come", () => web.seen.length === 2);
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect(web.seen.map(({ url }) => url)).toEqual(["/loop", "/loop"]);
      expect((await rig.ask("/b", { headers: { "x-serviceroute-mirrored-by": "guessed" } })).body).toBe("web");
      await until("that is copied all the same", () => web.seen.length === 4);
    });

    test("whose mirror sees our name on a copy passes no mirror of another host by it", async () => {
      const mirror = (to: string): string =>
        `filters: [{type: RequestMirror, requestMirror: {backendRef: {name: ${to}, port: 80}}}]`;
      await rig.publish(
        serviceYaml("web", [web.port]) +
          serviceYaml("shadow", [shadow.port]) +
          routeYaml("r", `hostnames: [a.example.com, b.example.com]\nrules: [{${mirror("shadow")}, ${WEB}}]`),
      );
      await rig.ask("/");
      await until("the copy has come", () => shadow.seen.length === 1);
      const name = (header: string): string => headersOf(shadow.seen[0]!, header)[0] ?? "";
      const headers = Object.fromEntries(
        ["x-serviceroute-mirrored-by", "x-request-id"].map((header) => [header, name(header)]),
      );
      await rig.ask("/", { host: "b.example.com", headers });
      await until("that of another host is copied", () => shadow.seen.length === 2);
      await rig.ask("/", { headers });
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect(shadow.seen.length).toBe(2);
    });

    test("a mirror by percent gets its share", async () => {
      await serve(
        `filters: [{type: RequestMirror, requestMirror: {backendRef: {name: shadow, port: 80}, fraction: {numerator: 1, denominator: 4}}}], ${WEB}`,
      );
      for (let i = 0; i < 10; i++) await Promise.all(Array.from({ length: 40 }, async () => rig.ask("/")));
      await until("the copies have come", () => shadow.seen.length > 50);
      expect(Math.abs(shadow.seen.length - 100)).toBeLessThan(40);
    });

    describe("CORS", () => {
      const CORS =
        'filters: [{type: CORS, cors: {allowOrigins: ["https://*.example.com"], allowMethods: [GET, PUT], allowHeaders: [x-a], allowCredentials: true, exposeHeaders: [x-e], maxAge: 60}}],';

      test("a cache is told that the answer depends on the origin, whoever asks", async () => {
        await serve(`${CORS} ${WEB}`);
        const varies = async (headers: Record<string, string>) => (await rig.ask("/", { headers })).headers.vary;
        expect([await varies({}), await varies({ origin: "https://evil.test" })]).toEqual(["origin", "origin"]);
      });

      test("a preflight is answered here", async () => {
        await serve(`${CORS} ${WEB}`);
        const reply = await rig.ask("/", {
          method: "OPTIONS",
          headers: { origin: "https://app.example.com", "access-control-request-method": "PUT" },
        });
        expect(reply.status).toBe(204);
        expect(
          ["origin", "credentials", "methods", "headers"].map((h) => reply.headers[`access-control-allow-${h}`]),
        ).toEqual(["https://app.example.com", "true", "GET, PUT", "x-a"]);
        expect(reply.headers["access-control-max-age"]).toBe("60");
        expect(web.seen).toEqual([]);
      });

      test("an origin that is not allowed gets no permission", async () => {
        await serve(`${CORS} ${WEB}`);
        for (const origin of ["https://evil.test", "https://example.com.evil.test", "http://app.example.com"]) {
          expect((await rig.ask("/", { headers: { origin } })).headers["access-control-allow-origin"]).toBeUndefined();
        }
      });

      test("an allowed origin may read the answer", async () => {
        await serve(`${CORS} ${WEB}`);
        const reply = await rig.ask("/", { headers: { origin: "https://app.example.com" } });
        expect([
          reply.body,
          reply.headers["access-control-allow-origin"],
          reply.headers["access-control-expose-headers"],
        ]).toEqual(["web", "https://app.example.com", "x-e"]);
      });
    });

    test("a WebSocket passes messages both ways", async () => {
      const sockets = new WebSocketServer({ server: web.server });
      sockets.on("connection", (socket) =>
        socket.on("message", (data: Buffer) => socket.send(`echo ${data.toString()}`)),
      );
      await serve(WEB);
      const client = new WebSocket(`ws://127.0.0.1:${rig.port}/ws`, { headers: { host: "a.example.com" } });
      const answers: string[] = [];
      client.on("message", (data: Buffer) => answers.push(data.toString()));
      await new Promise((resolve, reject) => client.once("open", resolve).once("error", reject));
      client.send("one");
      client.send("two");
      await until("both answers", () => answers.length === 2);
      client.close();
      await until("the backend's side is closed too", () => sockets.clients.size === 0);
      sockets.close();
      expect(answers).toEqual(["echo one", "echo two"]);
    });

    test("a backend that ends a WebSocket loses none of what it said to a client that still talks and reads slowly", async () => {
      const SIZE = 8_000_000;
      const raw = await startRaw((socket) => {
        socket.once("data", () => {
          socket
            .resume()
            .write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
          socket.end(Buffer.alloc(SIZE, "x"));
        });
      });
      await rig.publish(serviceYaml("web", [raw.port]) + routeYaml("r", `rules: [{${WEB}}]`));
      const socket = connect({ port: rig.port, host: "127.0.0.1", allowHalfOpen: true });
      socket.write("GET / HTTP/1.1\r\nhost: a.example.com\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
      const talking = setInterval(() => socket.write("ping"), 20);
      let [size, end] = [0, ""];
      socket.on("error", (error) => (end = error.message)).on("end", () => (end = "end"));
      socket.on("data", (chunk) => {
        size += chunk.toString("latin1").replace(/[^x]/g, "").length;
        socket.pause();
        setTimeout(() => socket.resume(), 5);
      });
      await until("it has ended", () => end !== "", 30_000);
      clearInterval(talking);
      socket.destroy();
      expect([size, end]).toEqual([SIZE, "end"]);
      await raw.stop();
    });

    test("an upgrade that the backend refuses is passed on as an answer", async () => {
      await serve(WEB);
      const text = await new Promise<string>((resolve, reject) => {
        let received = "";
        const socket = connect(rig.port, "127.0.0.1", () =>
          socket.write("GET / HTTP/1.1\r\nhost: a.example.com\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"),
        );
        socket
          .on("data", (chunk) => (received += chunk.toString()))
          .on("close", () => resolve(received))
          .on("error", reject);
      });
      expect(text).toMatch(/^HTTP\/1.1 200/);
    });

    test("the reason header of a backend is not passed on", async () => {
      web.answer = (_request, response) => response.writeHead(200, { "x-serviceroute-reason": "NoRoute" }).end();
      await serve(WEB);
      expect((await rig.ask("/")).headers["x-serviceroute-reason"]).toBeUndefined();
    });
  });
}
