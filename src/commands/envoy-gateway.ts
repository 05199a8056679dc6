import type { Logger } from "../telemetry/logger.ts";
import { isLoopback } from "../telemetry/http-endpoint.ts";
import { EnvoyDataPlane } from "../xds/envoy-data-plane.ts";
import type { ProxyOptions } from "../xds/options.ts";
import type { ChosenGateway } from "./data-plane.ts";
import { CommandError } from "./exit.ts";
import type { ServingFlags } from "./serving-flags.ts";

/** What only the embedded gateway does, by the flag that asks for it. */
function refuseUnserved(flags: ServingFlags): void {
  const { gatewayWorkers, trustedProxies, accessLog } = flags;
  const asked = [
    gatewayWorkers > 0 ? "--gateway-workers" : "",
    trustedProxies === undefined ? "" : "--trusted-proxies",
    accessLog ? "--access-log" : "",
  ].filter((name) => name !== "");
  if (asked.length > 0) throw new CommandError(`${asked.join(", ")}: not with --data-plane envoy; leave it out`, 2);
}

export function proxyOptions(flags: ServingFlags): ProxyOptions {
  const { reasonHeader, routeHeader, underscoreHeaders, trustedHops, http2 } = flags;
  return {
    showReason: reasonHeader,
    showRoute: routeHeader,
    underscores: underscoreHeaders,
    trustedHops,
    http2: http2 !== "off",
  };
}

/** Programs Envoys, which ask at `--xds-address`. */
export function gatewayByEnvoys(flags: ServingFlags, log: Logger): ChosenGateway {
  refuseUnserved(flags);
  const { host, port } = flags.xdsAddress;
  if (!isLoopback(host))
    throw new CommandError(
      `--xds-address ${host}: what proxies are sent holds private keys, and goes over the network only with TLS, which is not served yet; give a loopback address`,
      2,
    );
  const options = proxyOptions(flags);
  const made = Promise.withResolvers<EnvoyDataPlane>();
  return {
    proxies: true,
    gateway: (table, events) => {
      const plane = new EnvoyDataPlane({ table, options, log, events });
      made.resolve(plane);
      return plane;
    },
    start: async () => {
      const authority = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
      try {
        const bound = await (await made.promise).listen(authority);
        log.info({ address: host, port: bound }, "waiting for proxies");
      } catch (error) {
        throw new CommandError(`${(error as Error).message}; choose another with --xds-address`);
      }
    },
    close: async () => Promise.resolve(),
  };
}
