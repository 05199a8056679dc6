export type KubeErrorCode =
  | "unreachable"
  | "unauthorized"
  | "forbidden"
  | "notFound"
  | "conflict"
  | "expired"
  | "invalid"
  | "throttled"
  | "server";

/** The API server or the way to it failed, not the user. */
export class KubeError extends Error {
  override readonly name = "KubeError";
  readonly code: KubeErrorCode;
  /** Milliseconds to wait that the server asked for. */
  readonly retryAfterMs: number;

  constructor(code: KubeErrorCode, message: string, options: ErrorOptions & { readonly retryAfterMs?: number } = {}) {
    super(message, options);
    this.code = code;
    this.retryAfterMs = options.retryAfterMs ?? 0;
  }
}

/** Whatever was thrown on the way to the API server, as an error that can be told and tried again. */
export function asKubeError(error: unknown): KubeError {
  if (error instanceof KubeError) return error;
  return new KubeError("server", error instanceof Error ? error.message : String(error), { cause: error });
}

const BY_STATUS: Readonly<Record<number, KubeErrorCode>> = {
  401: "unauthorized",
  403: "forbidden",
  404: "notFound",
  409: "conflict",
  410: "expired",
  422: "invalid",
  429: "throttled",
};

export function errorOfStatus(status: number, message: string, retryAfterMs = 0): KubeError {
  const code = BY_STATUS[status] ?? (status >= 400 && status < 500 ? "invalid" : "server");
  return new KubeError(code, message, { retryAfterMs });
}
