import { z } from "zod";

export const Namespace = z
  .string()
  .min(1)
  .max(63)
  .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/);
export const SectionName = z
  .string()
  .min(1)
  .max(253)
  .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/);
export const ObjectName = z.string().min(1).max(253);
export const Group = z
  .string()
  .max(253)
  .regex(/^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/);
export const KindName = z
  .string()
  .min(1)
  .max(63)
  .regex(/^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$/);
export const Port = z.int().min(1).max(65_535);
export const HeaderName = z
  .string()
  .min(1)
  .max(256)
  .regex(/^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$/);
/**
 * No part of it can be read in two ways: another form took seconds for 48 characters (S22).
 *
 * @source RFC 9110 field-value without obs-text; no CR, LF or NUL can pass (B29).
 */
export const HeaderValue = z
  .string()
  .min(1)
  .max(4096)
  .regex(/^[!-~]+([\t ]+[!-~]+)*$/);
/** @source GEP-2257. */
export const Duration = z
  .string()
  .max(24)
  .regex(/^([0-9]{1,5}(h|m|s|ms)){1,4}$/);
/** A Kubernetes quantity of bytes, whole or with a binary or decimal suffix. */
export const ByteQuantity = z
  .string()
  .max(16)
  .regex(/^[0-9]{1,10}(k|M|G|Ki|Mi|Gi)?$/);
/** A host without wildcard, as a redirect or a rewrite writes it. */
export const PreciseHostname = z
  .string()
  .min(1)
  .max(253)
  .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/);
export const RegexSource = z.string().min(1).max(1024);
export const Method = z.enum(["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]);
export const Percent = z.int().min(0).max(100);

const HOSTNAME = /^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const IPV4_LIKE = /^[0-9]+(\.[0-9]+)*$/;
const HEX_LIKE = /^0x[0-9a-f]*(\.|$)/;

/**
 * A hostname of a route or a listener: lower-case A-labels, at most one leading `*.`, and nothing that a URL parser
 * would take for an IP address (B2, B3).
 */
export const Hostname = z.string().min(1).max(253).regex(HOSTNAME);

export function hostnameProblem(hostname: string): string | undefined {
  if (IPV4_LIKE.test(hostname) || HEX_LIKE.test(hostname)) return `"${hostname}" is an IP address; use a DNS name`;
  if (hostname.split(".").some((label) => label.length > 63)) return `"${hostname}" has a label of over 63 characters`;
  return undefined;
}

/** CEL's form of {@link hostnameProblem}, over a list. */
export const HOSTNAMES_RULE =
  "self.all(h, !h.matches('^[0-9]+([.][0-9]+)*$') && !h.matches('^0x[0-9a-f]*([.]|$)') && !h.matches('[^.]{64}'))";

/** An optional list whose entries the API server merges by one field. */
export const listMap = { "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"] } as const;
export const listSet = { "x-kubernetes-list-type": "set" } as const;
export const listAtomic = { "x-kubernetes-list-type": "atomic" } as const;

const UNIT_MS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 };

/** Milliseconds of a valid {@link Duration}. Strict grammar, so nothing here can be NaN (B39). */
export function durationMs(duration: string): number {
  let total = 0;
  for (const [, count = "0", unit = "ms"] of duration.matchAll(/([0-9]+)(h|ms|m|s)/g)) {
    total += Number.parseInt(count, 10) * (UNIT_MS[unit] ?? 0);
  }
  return total;
}

const SUFFIX: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  Ki: 1024,
  Mi: 1024 ** 2,
  Gi: 1024 ** 3,
};

/** Bytes of a valid {@link ByteQuantity}. */
export function quantityBytes(quantity: string): number {
  const [, count = "0", suffix = ""] = /^([0-9]+)([A-Za-z]*)$/.exec(quantity) ?? [];
  return Number.parseInt(count, 10) * (SUFFIX[suffix] ?? 1);
}
