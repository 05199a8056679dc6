import { connect } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Backend, closedPort } from "../support/backend.ts";
import { type DataPlaneRig, until } from "../support/data-plane.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";

/** What the embedded gateway counts; Envoy has counters of its own. */
export function describeCounts(name: string, start: () => Promise<DataPlaneRig>): void {
  describe(`${name}: counts`, () => {
    let rig: DataPlaneRig;
    const web = new Backend("web");

    beforeAll(async () => {
      await web.start();
      rig = await start();
    });
    afterAll(async () => {
      await rig.close();
      await web.stop();
    });
    beforeEach(() => {
      web.answer = (_request, response) => response.end("web");
      web.seen.length = 0;
    });

    const WEB = "backendRefs: [{name: web, port: 80}]";
    const serve = async (rule: string, ports: readonly number[] = [web.port]): Promise<void> =>
      rig.publish(serviceYaml("web", ports) + routeYaml("r", `rules: [{${rule}}]`));
    const count = async (series: string): Promise<number> => {
      const pattern = series.replaceAll(/[{}]/g, "\\$&");
      return Number(new RegExp(`^serviceroute_${pattern} ([0-9]+)$`, "m").exec(await rig.metrics())?.[1] ?? 0);
    };

    test("a client that goes away is no failure, no retry and no answer", async () => {
      web.answer = () => undefined;
      await serve(`retry: {attempts: 3, codes: [503]}, ${WEB}`);
      const counts = async (): Promise<number[]> =>
        Promise.all(
          ["retries_total", 'gateway_answers_total{reason="Reset"}', 'http_requests_total{code="2xx"}'].map(count),
        );
      const [before, none] = [await counts(), await count('http_requests_total{code="none"}')];
      const socket = connect(rig.port, "127.0.0.1", () =>
        socket.write("GET / HTTP/1.1\r\nhost: a.example.com\r\n\r\n"),
      );
      await until("the backend has it", () => web.seen.length === 1);
      socket.destroy();
      await until("it is over", async () => (await count('http_requests_total{code="none"}')) === none + 1);
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect(await counts()).toEqual(before);
      expect(web.seen.length).toBe(1);
    });

    test("an upgrade that is refused counts as one request", async () => {
      await serve("filters: [{type: DirectResponse, directResponse: {statusCode: 418}}]");
      const before = await count('http_requests_total{code="4xx"}');
      const socket = connect(rig.port, "127.0.0.1");
      socket.write("GET / HTTP/1.1\r\nhost: a.example.com\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
      socket.once("data", () => socket.end());
      await new Promise((resolve) => socket.once("close", resolve));
      await until("it is counted", async () => (await count('http_requests_total{code="4xx"}')) > before);
      expect(await count('http_requests_total{code="4xx"}')).toBe(before + 1);
    });

    test("an endpoint that is ejected, or found unwell by a check", async () => {
      const changed = async (change: string): Promise<number> =>
        count(`endpoint_health_changes_total{change="${change}"}`);
      web.answer = (_request, response) => void response.writeHead(500).end();
      await serve(`healthCheck: {passive: {consecutive5xx: 1}}, ${WEB}`);
      await rig.ask("/");
      await until("it is ejected", async () => (await changed("ejected")) > 0);
      await serve(`healthCheck: {active: {type: TCP, interval: 100ms}}, ${WEB}`, [await closedPort()]);
      await rig.ask("/");
      await until("it is found unwell", async () => (await changed("unwell")) > 0);
    });
  });
}
