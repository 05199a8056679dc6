/** HTTP filters, by the names under which routes configure them. */
export const BODY_SIZE_LIMIT = "envoy.filters.http.body_size_limit";
export const ROUTER = "envoy.filters.http.router";
export const GRPC_WEB = "envoy.filters.http.grpc_web";
