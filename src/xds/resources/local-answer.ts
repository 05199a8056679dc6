import type { MessageInitShape } from "@bufbuild/protobuf";
import type { DirectResponseActionSchema } from "../generated/envoy/config/route/v3/route_components_pb.js";
import { REASON_HEADER, STATUS_OF } from "../../routing/reasons.ts";
import type { ReasonWord } from "../../routing/rule.ts";
import type { ProxyOptions } from "../options.ts";
import { type HeaderOptionInit, setHeader } from "./header-changes.ts";

const PLAIN_TEXT = "text/plain; charset=utf-8";

export const textBody = (status: number, body: string): MessageInitShape<typeof DirectResponseActionSchema> => ({
  status,
  ...(body === "" ? {} : { body: { specifier: { case: "inlineString", value: body } } }),
});

/** An answer of the gateway's own: its reason as text, and as a header where the operator wants that. */
export function failure(
  reason: ReasonWord,
  { showReason }: Pick<ProxyOptions, "showReason">,
): { directResponse: MessageInitShape<typeof DirectResponseActionSchema>; headers: HeaderOptionInit[] } {
  return {
    directResponse: textBody(STATUS_OF[reason], `${reason}\n`),
    headers: [setHeader("content-type", PLAIN_TEXT), ...(showReason ? [setHeader(REASON_HEADER, reason)] : [])],
  };
}
