import type { ActiveHealth } from "../../routing/cluster-policy.ts";
import type { AnswerSink, Attempt, BackendCall } from "./attempt.ts";
import { type Connected, connectPlain, endpointOf } from "./connect.ts";
import type { Host } from "./host.ts";

/** `unreachable` may be the network's doing and counts up; a wrong answer is the endpoint's own word. */
export type ProbeResult = "well" | "wrong" | "unreachable";

/** A HealthCheckRequest without a service: five bytes of frame, no message. @source grpc.health.v1. */
const GRPC_REQUEST = Buffer.alloc(5);
/** HealthCheckResponse with status SERVING, in its frame. */
const GRPC_SERVING = Buffer.from([0, 0, 0, 0, 2, 8, 1]);

function callOf({ type, path }: ActiveHealth, authority: string): BackendCall {
  const own = ["host", authority, "user-agent", "serviceroute-health-check"];
  const grpc = type === "GRPC";
  return {
    method: grpc ? "POST" : "GET",
    path: grpc ? "/grpc.health.v1.Health/Check" : path,
    headers: grpc ? [...own, "content-type", "application/grpc", "te", "trailers"] : own,
    body: grpc ? GRPC_REQUEST : null,
    trailers: () => [],
    upgrade: undefined,
  };
}

/** Asks an endpoint once. */
export async function probe(host: Host, policy: ActiveHealth, limitMs: number): Promise<ProbeResult> {
  if (policy.type === "TCP") return probeTcp(host, limitMs);
  return new Promise((resolve) => {
    const answer = { isExpected: false, body: Buffer.alloc(0) as Buffer };
    const sink: AnswerSink = {
      start: (status) => (answer.isExpected = status >= 200 && status < 300),
      data: (chunk) => {
        if (answer.body.length < GRPC_SERVING.length) answer.body = Buffer.concat([answer.body, chunk]);
        return true;
      },
      end: () => {
        const isServing = policy.type !== "GRPC" || answer.body.equals(GRPC_SERVING);
        resolve(answer.isExpected && isServing ? "well" : "wrong");
      },
      upgraded: (_headers, socket) => void socket.destroy(),
      failed: () => resolve("unreachable"),
    };
    const asked: { attempt?: Attempt } = {};
    const limit = setTimeout(() => asked.attempt?.abandon("BackendTimeout"), limitMs);
    asked.attempt = host.pool.send(callOf(policy, host.pool.authority), sink, limitMs, () => clearTimeout(limit));
  });
}

async function probeTcp({ pool }: Host, limitMs: number): Promise<ProbeResult> {
  return new Promise((resolve) => {
    connectPlain(endpointOf(pool.authority), limitMs, (...[error, socket]: Connected) => {
      socket?.destroy();
      resolve(error === null ? "well" : "unreachable");
    });
  });
}
