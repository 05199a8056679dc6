import type { RequestHead } from "./downstream/downstream.ts";
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
  return isGrpcType(request.header("content-type") ?? "");
}

export function isGrpcType(contentType: string): boolean {
  return GRPC.test(contentType);
}

/** Of a request that was refused before it was understood. */
export function contentTypeOf({ headers }: Pick<RequestHead, "headers">): string {
  const at = headers.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === "content-type");
  return at < 0 ? "" : (headers[at + 1] ?? "");
}

export function grpcStatusOf(httpStatus: number): number {
  return GRPC_STATUS[httpStatus] ?? UNKNOWN;
}
