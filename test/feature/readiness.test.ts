import { DEFAULT_OPTIONS } from "../../src/proxy/gateway-context.ts";
import { createServer } from "node:net";
import { expect, test } from "vitest";
import { gatewayHere } from "../../src/commands/data-plane.ts";
import { createEngine } from "../../src/commands/engine.ts";
import { Readiness } from "../../src/commands/readiness.ts";
import { createLogger } from "../../src/telemetry/logger.ts";
import { Metrics } from "../../src/telemetry/metrics.ts";
import { until } from "../support/data-plane.ts";
import { cleanups } from "../support/gateway-rig.ts";
import { OPTIONS } from "../support/objects.ts";
import { freePort } from "../support/ports.ts";

test("F52: a process that can bind none of its ports is not ready until it can", async () => {
  const port = await freePort();
  const taken = createServer().listen(port, "127.0.0.1");
  const [log, metrics] = [createLogger("silent"), new Metrics()];
  const engine = createEngine({
    options: { ...OPTIONS, builtin: { httpPort: port, httpsPort: port + 1 } },
    gateway: gatewayHere({ serving: DEFAULT_OPTIONS, log, metrics }),
    log,
    metrics,
    replicas: false,
    sink: { routesChanged: () => undefined, gatewaysChanged: () => undefined },
  });
  cleanups.push(async () => engine.gateway.drain(0));
  const readiness = new Readiness();
  expect(readiness.problem(engine)).toBe("the first table is not live yet");
  engine.controller.open();
  expect(readiness.problem(engine)).toBe("waiting for listener /builtin/http to be bound");
  const refused = `no listener can be served: port ${port} of 127.0.0.1 cannot be bound: is in use`;
  await until("told", () => readiness.problem(engine) === refused);
  taken.close();
  await until("ready", () => readiness.problem(engine) === "");
});
