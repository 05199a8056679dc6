/** The hostname of a listener or route that names no host: every host. */
export const ANY_HOST = "*";

/**
 * `host` itself, then every wildcard that covers it, most specific first, then {@link ANY_HOST}.
 * A wildcard matches one label or more, never its own apex (B4).
 */
export function* coveringHostnames(host: string): Generator<string> {
  yield host;
  for (let dot = host.indexOf("."); dot >= 0; dot = host.indexOf(".", dot + 1)) {
    if (dot > 0) yield `*${host.slice(dot)}`;
  }
  yield ANY_HOST;
}

/** Whether every host that `hostname` names is also named by `by`. */
export function covers(by: string, hostname: string): boolean {
  if (by === ANY_HOST || by === hostname) return true;
  return by.startsWith("*.") && hostname.endsWith(by.slice(1));
}

/**
 * The hosts that both a listener and a route name.
 *
 * @returns The more specific of the two, or undefined when they have none in common (B13).
 * @source Gateway API v1 HTTPRouteSpec.hostnames.
 */
export function intersection(listener: string, route: string): string | undefined {
  if (covers(listener, route)) return route;
  return covers(route, listener) ? listener : undefined;
}

/** More specific first: precise names before wildcards, longer before shorter. */
export function bySpecificity(a: string, b: string): number {
  const rank = (hostname: string): number => (hostname === ANY_HOST ? 2 : hostname.startsWith("*.") ? 1 : 0);
  return rank(a) - rank(b) || b.length - a.length || (a < b ? -1 : a > b ? 1 : 0);
}

const withoutDot = (name: string): string => (name.endsWith(".") ? name.slice(0, -1) : name);

/** The name that a TLS client asked for, as listeners have theirs: lower-case, without one trailing dot. */
export const serverNameFor = (asked: string): string => withoutDot(asked).toLowerCase();

/** A name of 253 characters, its dot and a port: what is longer is no host, and costs nothing. */
const MAX_HOST = 260;
const MAX_PORT = 65_535;

/**
 * A request's Host for matching: lower-case, without port and one trailing dot.
 *
 * @returns undefined when it is not a host at all (the request is answered 400).
 */
export function hostOf(header: string): { host: string; port?: number } | undefined {
  const match = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?$/.exec(header);
  if (match === null || header.length > MAX_HOST) return undefined;
  const [, name = "", port] = match;
  const host = withoutDot(name).toLowerCase();
  if (host === "" || host.endsWith(".") || Number(port ?? 0) > MAX_PORT) return undefined;
  return port === undefined ? { host } : { host, port: Number(port) };
}
