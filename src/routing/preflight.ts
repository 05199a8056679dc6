import type { RequestView } from "./match.ts";

/** @source Fetch, CORS-preflight request. */
export const isPreflight = (request: RequestView): boolean =>
  request.method === "OPTIONS" &&
  request.header("origin") !== undefined &&
  request.header("access-control-request-method") !== undefined;
