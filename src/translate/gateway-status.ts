import { SERVICE_ROUTE_GROUP } from "../api/kinds.ts";
import type { ListenerId } from "../routing/listener.ts";
import type { ListenerState } from "../routing/programmed.ts";
import type { DesiredGatewayStatus } from "../routing/status-report.ts";
import type { CertificateError, ListenerCertificates } from "./certificates.ts";
import { type Verdict, condition, listErrors, verdict } from "./conditions.ts";
import { terminatesTls } from "./tcp.ts";
import type { GatewayView, ListenerView } from "./gateways.ts";

export interface GatewayStatusContext {
  readonly certificates: (listener: ListenerView) => ListenerCertificates;
  readonly attached: (id: ListenerId) => number;
  readonly state: (id: ListenerId) => ListenerState | undefined;
  readonly advertisedAddress: string;
}

const answers = (state: ListenerState | undefined): boolean =>
  state?.kind === "serving" || state?.isServedElsewhere === true;

function listenerAccepted({ refusal }: ListenerView, state: ListenerState | undefined): Verdict {
  if (refusal?.type === "Accepted") return verdict("False", refusal.reason, refusal.message);
  if (refusal?.type === "Conflicted") return verdict("False", refusal.reason, refusal.message);
  if (state?.kind === "failed" && !answers(state)) return verdict("False", state.reason, state.message);
  return verdict("True", "Accepted", "The listener is accepted.");
}

function listenerConflicted({ refusal }: ListenerView): Verdict {
  if (refusal?.type === "Conflicted") return verdict("True", refusal.reason, refusal.message);
  return verdict("False", "NoConflicts", "No other listener is in its way.");
}

function listenerResolved({ invalidKinds }: ListenerView, errors: readonly CertificateError[]): Verdict {
  if (invalidKinds.length > 0)
    return verdict(
      "False",
      "InvalidRouteKinds",
      `allowedRoutes.kinds: ${invalidKinds.join(", ")} cannot be attached here`,
    );
  const [first] = errors;
  if (first !== undefined) return verdict("False", first.reason, listErrors(errors));
  return verdict("True", "ResolvedRefs", "All references resolve.");
}

function listenerProgrammed(
  listener: ListenerView,
  certificates: ListenerCertificates,
  state: ListenerState | undefined,
): Verdict {
  const { refusal, port, bindPort } = listener;
  const unusable = refusal !== undefined || (terminatesTls(listener.spec) && certificates.certificates.length === 0);
  if (unusable) return verdict("False", "Invalid", refusal?.message ?? listErrors(certificates.errors));
  if (bindPort === undefined)
    return verdict(
      "False",
      "AddressNotAssigned",
      `The Gateway's Service leads port ${port} nowhere: it is being made or mended.`,
    );
  if (state === undefined) return verdict("Unknown", "Pending", "Waiting for the data plane.");
  if (state.kind === "failed") return verdict("False", state.reason, state.message);
  return verdict("True", "Programmed", "The listener serves requests.");
}

function gatewayAccepted(gateway: GatewayView, listeners: readonly Verdict[]): Verdict {
  const { address, invalidParameters } = gateway;
  if (invalidParameters !== undefined) return verdict("False", "InvalidParameters", invalidParameters);
  if (!address.ok && address.reason === "UnsupportedAddress") return verdict("False", address.reason, address.message);
  const bad = listeners.filter((one) => one.status !== "True").length;
  if (bad === listeners.length) return verdict("False", "ListenersNotValid", "No listener is valid.");
  if (bad > 0) return verdict("True", "ListenersNotValid", `${bad} of ${listeners.length} listeners are not valid.`);
  return verdict("True", "Accepted", "The Gateway is accepted.");
}

function gatewayProgrammed({ address }: GatewayView, accept: Verdict, listeners: readonly Verdict[]): Verdict {
  if (!address.ok) return verdict("False", "AddressNotUsable", address.message);
  if (accept.status !== "True") return verdict("False", "Invalid", accept.message);
  if (listeners.some((one) => one.status === "Unknown"))
    return verdict("Unknown", "Pending", "Waiting for the data plane.");
  const failed = listeners.find((one) => one.status === "False" && one.reason !== "Invalid");
  if (failed !== undefined) return failed;
  if (listeners.every((one) => one.status === "False"))
    return verdict("False", "Invalid", "No listener serves requests.");
  return verdict("True", "Programmed", "The Gateway serves requests.");
}

export function gatewayStatus(gateway: GatewayView, context: GatewayStatusContext): DesiredGatewayStatus {
  const { generation, address } = gateway;
  const listeners = gateway.listeners.map((listener) => {
    const certificates = context.certificates(listener);
    const state = context.state(listener.id);
    return {
      listener,
      answers: answers(state),
      accept: listenerAccepted(listener, state),
      conflict: listenerConflicted(listener),
      resolved: listenerResolved(listener, certificates.errors),
      program: listenerProgrammed(listener, certificates, state),
    };
  });
  const accept = gatewayAccepted(
    gateway,
    listeners.map((one) => one.accept),
  );
  const program = gatewayProgrammed(
    gateway,
    accept,
    listeners.map((one) => one.program),
  );
  const anyAnswers = listeners.some((one) => one.answers);
  const bound = address.ok ? (address.own ? address.address : context.advertisedAddress) : "";
  const addresses = gateway.published ?? [{ type: "IPAddress", value: bound }];
  return {
    generation,
    addresses: address.ok && anyAnswers ? addresses : [],
    conditions: [condition("Accepted", generation, accept), condition("Programmed", generation, program)],
    listeners: listeners.map(({ listener, accept: a, conflict, resolved, program: p }) => ({
      name: listener.name,
      attachedRoutes: context.attached(listener.id),
      supportedKinds: listener.allowsServiceRoute ? [{ group: SERVICE_ROUTE_GROUP, kind: "ServiceRoute" }] : [],
      conditions: [
        condition("Accepted", generation, a),
        condition("Conflicted", generation, conflict),
        condition("ResolvedRefs", generation, resolved),
        condition("Programmed", generation, p),
      ],
    })),
  };
}
