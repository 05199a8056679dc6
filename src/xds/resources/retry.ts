import type { MessageInitShape } from "@bufbuild/protobuf";
import type { RetryPolicySchema } from "../generated/envoy/config/route/v3/route_components_pb.js";
import { PreviousHostsPredicateSchema } from "../generated/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts_pb.js";
import type { RulePolicy } from "../../routing/rule.ts";
import { durationOf, extension } from "./typed.ts";

const NOTHING_SENT = "connect-failure,refused-stream";
const MOST_SELECTIONS = 20n;
const MAX_BACKOFF_FACTOR = 10;

/** Of a larger body a proxy does not keep enough to send it again. */
export const MOST_KEPT_BYTES = 64 * 1024;

/** Everything is said, also that nothing is tried again: a client must not decide it, nor a default (D46). */
export function retryPolicy({
  retry: { attempts, codes, backoffMs, connectFailureOnly },
  backendTimeoutMs,
}: RulePolicy): MessageInitShape<typeof RetryPolicySchema> {
  const more = codes.length === 0 ? "reset" : "reset,retriable-status-codes";
  const baseMs = connectFailureOnly ? 1 : Math.max(1, backoffMs);
  return {
    retryOn: connectFailureOnly ? NOTHING_SENT : `${NOTHING_SENT},${more}`,
    numRetries: attempts,
    retriableStatusCodes: [...codes],
    ...(backendTimeoutMs === 0 ? {} : { perTryTimeout: durationOf(backendTimeoutMs) }),
    retryBackOff: { baseInterval: durationOf(baseMs), maxInterval: durationOf(baseMs * MAX_BACKOFF_FACTOR) },
    retryHostPredicate: [extension("envoy.retry_host_predicates.previous_hosts", PreviousHostsPredicateSchema, {})],
    hostSelectionRetryMaxAttempts: MOST_SELECTIONS,
  };
}
