import type { GatewayRequest } from "./gateway-request.ts";

const UNKNOWN = 2;
/** What a gRPC client is told instead of an HTTP status. @source Envoy's httpToGrpcStatus; gRPC's http-grpc-status-mapping. */
const GRPC_STATUS: Readonly<Record<number, number>> = {
  400: 13,
  401: 16,
  403: 7,
  404: 12,
  429: 14,
  502: 14,
  503: 14,
  504: 14,
};

const GRPC = /^application\/grpc(?:$|[+;])/i;

/** gRPC itself, not gRPC-Web. */
export function isGrpc(request: GatewayRequest): boolean {
  return GRPC.test(request.header("content-type") ?? "");
}

export function grpcStatusOf(httpStatus: number): number {
  return GRPC_STATUS[httpStatus] ?? UNKNOWN;
}
