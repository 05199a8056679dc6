import type { RequestView } from "../routing/match.ts";
import { PatternBudget } from "../routing/pattern-budget.ts";

function decodeComponent(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return text;
  }
}

interface RequestParts {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly authority: string;
  readonly host: string;
  readonly headers: ReadonlyMap<string, readonly string[]>;
}

/** A request that has passed the request policy, as matching and forwarding see it. */
export class GatewayRequest implements RequestView {
  readonly method: string;
  readonly path: string;
  /** With its `?`, or empty. */
  readonly search: string;
  /** The Host header as the client sent it. */
  readonly authority: string;
  /** Lower-case, without port. */
  readonly host: string;
  readonly headers: ReadonlyMap<string, readonly string[]>;
  readonly patterns = new PatternBudget(() => performance.now());
  readonly #parts: RequestParts;
  #params: ReadonlyMap<string, string> | undefined;
  #cookies: ReadonlyMap<string, string> | undefined;

  constructor(parts: RequestParts) {
    this.#parts = parts;
    this.method = parts.method;
    this.path = parts.path;
    this.search = parts.query;
    this.authority = parts.authority;
    this.host = parts.host;
    this.headers = parts.headers;
  }

  /** The same with other headers. */
  with(headers: ReadonlyMap<string, readonly string[]>): GatewayRequest {
    return new GatewayRequest({ ...this.#parts, headers });
  }

  header(name: string): string | undefined {
    return this.headers.get(name)?.join(",");
  }

  query(name: string): string | undefined {
    if (this.#params === undefined) {
      const params = new Map<string, string>();
      for (const pair of this.search.slice(1).split("&")) {
        const equals = pair.indexOf("=");
        const key = decodeComponent(equals < 0 ? pair : pair.slice(0, equals));
        if (pair !== "" && !params.has(key)) params.set(key, equals < 0 ? "" : decodeComponent(pair.slice(equals + 1)));
      }
      this.#params = params;
    }
    return this.#params.get(name);
  }

  cookie(name: string): string | undefined {
    if (this.#cookies === undefined) {
      const cookies = new Map<string, string>();
      for (const pair of (this.headers.get("cookie") ?? []).flatMap((line) => line.split(";"))) {
        const equals = pair.indexOf("=");
        const key = pair.slice(0, Math.max(equals, 0)).trim();
        if (equals > 0 && !cookies.has(key)) cookies.set(key, pair.slice(equals + 1).trim());
      }
      this.#cookies = cookies;
    }
    return this.#cookies.get(name);
  }
}
