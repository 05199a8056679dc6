export interface RequestTarget {
  readonly ok: true;
  /** As it came, not normalised yet. */
  readonly path: string;
  /** With its `?`, or empty. */
  readonly query: string;
}

const ABSOLUTE = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)(.*)$/i;

/**
 * A request target in origin form, or in absolute form when that says the same as the connection and Host do.
 *
 * @source RFC 9112 section 3.2.
 */
export function targetOf(
  raw: string,
  scheme: "http" | "https",
  host: string,
): RequestTarget | { readonly ok: false; readonly problem: string } {
  if (raw.includes("#")) return { ok: false, problem: "the target has a fragment" };
  if (raw.startsWith("/")) return split(raw);
  const [, rawScheme = "", authority = "", rest = ""] = ABSOLUTE.exec(raw) ?? [];
  if (rawScheme === "") return { ok: false, problem: "the target is neither a path nor a URL" };
  if (rawScheme.toLowerCase() !== scheme)
    return { ok: false, problem: "the target has another scheme than its connection" };
  if (authority.toLowerCase() !== host.toLowerCase())
    return { ok: false, problem: "the target and Host name different hosts" };
  return split(rest.startsWith("/") ? rest : `/${rest}`);
}

function split(target: string): RequestTarget | { readonly ok: false; readonly problem: string } {
  const mark = target.indexOf("?");
  if (mark < 0) return { ok: true, path: target, query: "" };
  if (/[^\x21-\x7e]/.test(target.slice(mark)))
    return { ok: false, problem: "the query has a character that must be escaped" };
  return { ok: true, path: target.slice(0, mark), query: target.slice(mark) };
}
