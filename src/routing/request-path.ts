const UNRESERVED = /^[A-Za-z0-9\-._~]$/;
const PLAIN = /^[A-Za-z0-9\-._~!$&'()*+,;=:@/]*$/;

export type PathResult =
  { readonly ok: true; readonly path: string } | { readonly ok: false; readonly problem: string };

const refuse = (problem: string): PathResult => ({ ok: false, problem });

function normaliseEscapes(raw: string): PathResult {
  let out = "";
  for (let i = 0; i < raw.length; i++) {
    const char = raw.charAt(i);
    if (char !== "%") {
      out += PLAIN.test(char) ? char : `%${char.charCodeAt(0).toString(16).toUpperCase()}`;
      continue;
    }
    const hex = raw.slice(i + 1, i + 3);
    if (!/^[0-9a-fA-F]{2}$/.test(hex)) return refuse("a % that is no escape");
    const code = Number.parseInt(hex, 16);
    if (code === 0x2f || code === 0x5c || code === 0) return refuse("an escaped separator or NUL");
    const decoded = String.fromCharCode(code);
    out += UNRESERVED.test(decoded) ? decoded : `%${hex.toUpperCase()}`;
    i += 2;
  }
  return { ok: true, path: out };
}

function resolveDots(path: string): string {
  const out: string[] = [];
  const segments = path.split("/");
  for (const [i, segment] of segments.entries()) {
    const last = i === segments.length - 1;
    if (segment === "..") out.pop();
    else if (segment !== "." && (segment !== "" || last)) out.push(segment);
    if (last && (segment === "." || segment === "..")) out.push("");
  }
  return `/${out.join("/")}`;
}

/**
 * The one form of a request path that is matched and forwarded: unreserved escapes decoded, others in upper case, what
 * no path may hold as it is escaped, dot segments resolved, slashes merged. So no request can match one rule and reach a backend as another (S16).
 *
 * @param raw  Path of the request target, without the query.
 */
export function normalisePath(raw: string): PathResult {
  if (!raw.startsWith("/")) return refuse("a target that does not start with /");
  if (PLAIN.test(raw) && !raw.includes("/.") && !raw.includes("//")) return { ok: true, path: raw };
  if (/[\\#\s]|[^\x21-\x7e]/.test(raw)) return refuse("a character that no path may hold");
  const escapes = normaliseEscapes(raw);
  return escapes.ok ? { ok: true, path: resolveDots(escapes.path) } : escapes;
}
