import type { Kind } from "./kinds.ts";

declare const kind: unique symbol;

/** `Kind/namespace/name` (`Kind//name` when cluster-scoped); the brand stops a Service key being used to look up a Secret. */
export type Key<K extends Kind = Kind> = string & { readonly [kind]: K };

/**
 * Names hold no `/` (RFC 1123), so two different objects never share a key (B42). Joined, because the engine keeps the
 * parts of a template string beside its text as long as the key lives.
 */
export function keyOf<K extends Kind>(of: K, namespace: string, name: string): Key<K> {
  return [of, namespace, name].join("/") as Key<K>;
}

export interface KeyParts {
  readonly kind: Kind;
  readonly namespace: string;
  readonly name: string;
}

export function partsOf(key: Key): KeyParts {
  const [of = "", namespace = "", name = ""] = key.split("/");
  return { kind: of as Kind, namespace, name };
}

/** `namespace/name`, as people write it; just `name` when cluster-scoped. */
export function displayName(key: Key): string {
  const { namespace, name } = partsOf(key);
  return namespace === "" ? name : `${namespace}/${name}`;
}
