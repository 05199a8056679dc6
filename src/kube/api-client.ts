import { type KubeConfig, RequestContext } from "@kubernetes/client-node";
import { type Dispatcher, request } from "undici";
import { KubeError, errorOfStatus } from "./kube-error.ts";

const CREDENTIALS_MS = 60_000;
const REQUEST_MS = 30_000;

export interface ApiRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly signal?: AbortSignal;
}

interface Credentials {
  readonly headers: Record<string, string>;
  readonly at: number;
}

/** Requests to one API server with what a kubeconfig says. Uses the client library for configuration and credentials only. */
export class ApiClient {
  readonly #config: KubeConfig;
  readonly #server: string;
  #dispatcher: Dispatcher | undefined;
  #credentials: Credentials | undefined;
  #outage: AbortController | undefined;

  constructor(config: KubeConfig) {
    this.#config = config;
    this.#server = config.getCurrentCluster()?.server.replace(/\/$/, "") ?? "";
  }

  get server(): string {
    return this.#server;
  }

  /** While connections to the API server fail: a signal that aborts as soon as it has answered anybody. */
  get outage(): AbortSignal | undefined {
    return this.#outage?.signal;
  }

  /**
   * One request and its JSON answer.
   *
   * @throws KubeError
   */
  async json<T>(call: ApiRequest): Promise<T> {
    const limit = AbortSignal.timeout(REQUEST_MS);
    const response = await this.#send(call, call.signal === undefined ? limit : AbortSignal.any([call.signal, limit]));
    const text = await response.body.text().catch((cause: unknown) => {
      throw new KubeError("unreachable", `the answer of ${this.#server} broke off`, { cause });
    });
    if (response.statusCode >= 400) throw this.#refused(response, text);
    try {
      const value: unknown = JSON.parse(text);
      if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as T;
    } catch {
      // Something in between has answered; told below.
    }
    throw new KubeError("server", `${this.#server} answered ${call.path} with something that is no JSON object`);
  }

  /**
   * A stream of bytes, for watches.
   *
   * @throws KubeError when the answer is not 200.
   */
  async stream(call: ApiRequest & { readonly signal: AbortSignal }): Promise<AsyncIterable<Buffer>> {
    const response = await this.#send(call, call.signal);
    if (response.statusCode !== 200) throw this.#refused(response, await response.body.text());
    return response.body as AsyncIterable<Buffer>;
  }

  async #send(call: ApiRequest, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    const url = new URL(this.#server + call.path);
    for (const [name, value] of Object.entries(call.query ?? {})) url.searchParams.set(name, value);
    const headers: Record<string, string> = { ...(await this.#headers()), accept: "application/json" };
    if (call.body !== undefined) headers["content-type"] = call.contentType ?? "application/json";
    try {
      const response = await request(url, {
        method: call.method,
        headers,
        signal,
        headersTimeout: 0,
        bodyTimeout: 0,
        ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
        ...(this.#dispatcher === undefined ? {} : { dispatcher: this.#dispatcher }),
      });
      this.#outage?.abort();
      this.#outage = undefined;
      return response;
    } catch (cause) {
      // Who is too slow for us is not away, and is not to be asked sooner.
      if (!signal.aborted) this.#outage ??= new AbortController();
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new KubeError("unreachable", `${this.#server} cannot be reached: ${why}`, { cause });
    }
  }

  #refused(response: Dispatcher.ResponseData, text: string): KubeError {
    let message = text.slice(0, 500);
    try {
      message = (JSON.parse(text) as { message?: string }).message ?? message;
    } catch {
      // An answer of something in between: its text says more than nothing.
    }
    if (response.statusCode === 401) {
      this.#credentials = undefined;
      message = `${this.#server} does not know us (${message}): check the token or certificate of the kubeconfig's user`;
    }
    const after = Number(response.headers["retry-after"] ?? 0);
    return errorOfStatus(response.statusCode, message, Number.isFinite(after) ? after * 1000 : 0);
  }

  /** Tokens change and plugins cost time, so what the library gives is kept for a minute; connections are kept for good. */
  async #headers(): Promise<Record<string, string>> {
    const now = performance.now();
    const known = this.#credentials;
    if (known !== undefined && now - known.at <= CREDENTIALS_MS) return known.headers;
    try {
      const context = new RequestContext(`${this.#server}/`, "GET");
      await this.#config.applySecurityAuthentication(context);
      this.#dispatcher ??= context.getDispatcher();
      this.#credentials = { headers: context.getHeaders(), at: now };
      return this.#credentials.headers;
    } catch (cause) {
      if (known !== undefined) return known.headers;
      throw new KubeError(
        "unauthorized",
        `no credentials for ${this.#server}: ${cause instanceof Error ? cause.message : String(cause)}`,
        { cause },
      );
    }
  }
}
