import type { MessageInitShape } from "@bufbuild/protobuf";
import { type PolicySchema, RBAC_Action } from "../generated/envoy/config/rbac/v3/rbac_pb.js";
import { RBACSchema } from "../generated/envoy/extensions/filters/http/rbac/v3/rbac_pb.js";
import type { HttpFilterSchema } from "../generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js";
import { MOST_HOPS, HOPS_HEADER } from "../../routing/reasons.ts";
import type { ReasonWord } from "../../routing/rule.ts";
import { type HeaderMatchInit, headerFits } from "./route-match.ts";
import { extension } from "./typed.ts";

/** What is refused before any rule is asked. Envoy's codec refuses the rest. */
interface Refusal {
  readonly name: string;
  readonly status: number;
  readonly reason: ReasonWord;
  /** What a request must have to be refused. */
  readonly header: HeaderMatchInit;
}

const not = (match: HeaderMatchInit): HeaderMatchInit => ({ ...match, invertMatch: true });

/** @source docs/requests.md */
export const REFUSALS: readonly Refusal[] = [
  { name: "tunnel", status: 405, reason: "BadRequest", header: headerFits(":method", "TRACE|CONNECT") },
  {
    name: "method",
    status: 400,
    reason: "BadRequest",
    header: not(headerFits(":method", "GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|QUERY|TRACE|CONNECT")),
  },
  {
    name: "host",
    status: 400,
    reason: "BadRequest",
    header: not(headerFits(":authority", "(?:\\[[0-9a-fA-F:.]+\\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")),
  },
  { name: "expectation", status: 417, reason: "BadRequest", header: headerFits("expect", ".*") },
  {
    name: "loop",
    status: 508,
    reason: "LoopDetected",
    header: headerFits(HOPS_HEADER, `[0-9]{3,}|[2-9][0-9]|1[${(MOST_HOPS % 10) + 1}-9]`),
  },
];

/** What Envoy says of an answer that a refusal has made begins with this. */
export const detailsOf = ({ name }: Refusal): string => `rbac_access_denied_matched_policy[${name}]`;

const policyFor = ({ header }: Refusal): MessageInitShape<typeof PolicySchema> => ({
  permissions: [{ rule: { case: "header", value: header } }],
  principals: [{ identifier: { case: "any", value: true } }],
});

export const requestPolicy: MessageInitShape<typeof HttpFilterSchema> = extension(
  "envoy.filters.http.rbac",
  RBACSchema,
  {
    rules: {
      action: RBAC_Action.DENY,
      policies: Object.fromEntries(REFUSALS.map((refusal) => [refusal.name, policyFor(refusal)])),
    },
  },
);
