import type { KubeObject, ListenerSpec } from "../api/objects.ts";
import { Hostname, hostnameProblem } from "../api/primitives.ts";
import { hasHostname, terminatesTls } from "./tcp.ts";

/** Why a listener serves nobody. `type` is the condition that says so. */
export interface Refusal {
  readonly type: "Accepted" | "Conflicted";
  readonly reason:
    "UnsupportedProtocol" | "UnsupportedValue" | "HostnameConflict" | "ProtocolConflict" | "PortUnavailable";
  readonly message: string;
}

const SERVED = ["HTTP", "HTTPS", "TCP", "TLS", "UDP"];

const TLS_MODES = ["Terminate", "Passthrough"];

export type GatewayTls = KubeObject<"Gateway">["spec"]["tls"];

/** What would make a listener stricter and is not served yet: to serve without it would let in whom it keeps out. */
function unservedTls({ port, tls: own }: ListenerSpec, tls: GatewayTls): string | undefined {
  const { perPort = [], default: other } = tls?.frontend ?? {};
  const frontend = perPort.find((one) => one.port === port)?.tls ?? other;
  if (frontend?.validation !== undefined) return "tls.frontend: certificates of clients cannot be validated yet";
  if (own?.frontendValidation !== undefined)
    return "tls.frontendValidation: certificates of clients cannot be validated yet";
  const [option] = Object.keys(own?.options ?? {});
  return option === undefined ? undefined : `tls.options: ${option} is not supported`;
}

/** What a listener asks for by itself that is not served. */
export function protocolRefusal(spec: ListenerSpec, tls: GatewayTls): Refusal | undefined {
  const refuse = (reason: Refusal["reason"], message: string): Refusal => ({ type: "Accepted", reason, message });
  if (!SERVED.includes(spec.protocol))
    return refuse(
      "UnsupportedProtocol",
      `listeners of protocol ${spec.protocol} are not served yet; use ${SERVED.join(", ")}`,
    );
  if (spec.protocol === "HTTPS" && (spec.tls?.mode ?? "Terminate") !== "Terminate") {
    return refuse("UnsupportedValue", "tls.mode of an HTTPS listener must be Terminate");
  }
  if (spec.protocol === "TLS" && !TLS_MODES.includes(spec.tls?.mode ?? "Terminate"))
    return refuse("UnsupportedValue", `tls.mode ${spec.tls?.mode ?? ""} is not known; use ${TLS_MODES.join(" or ")}`);
  const unserved = terminatesTls(spec) ? unservedTls(spec, tls) : undefined;
  if (unserved !== undefined) return refuse("UnsupportedValue", unserved);
  if (spec.hostname === undefined || spec.hostname === "") return undefined;
  if (!hasHostname(spec.protocol))
    return refuse("UnsupportedValue", `hostname must be empty on a ${spec.protocol} listener`);
  const problem = Hostname.safeParse(spec.hostname.toLowerCase()).success
    ? hostnameProblem(spec.hostname)
    : `"${spec.hostname}" is no DNS name`;
  return problem === undefined ? undefined : refuse("UnsupportedValue", `hostname ${problem}`);
}
