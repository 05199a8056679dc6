import { X509Certificate, createPrivateKey, randomUUID } from "node:crypto";
import { type Identity, type KeyPair, issueAuthority, issueLeaf } from "./certificate.ts";

/** Who signs the certificates of a controller and of its proxies. */
export interface Authority {
  readonly current: KeyPair;
  /** The one after it, which everybody trusts before it signs anything. */
  readonly next?: KeyPair | undefined;
  /** PEM, one after the other: all whose signatures are good. */
  readonly trusted: string;
}

/** What a proxy or the controller shows, and whom it believes. PEM. */
export interface Credentials extends KeyPair {
  readonly trusted: string;
}

const DAY_MS = 86_400_000;
const AUTHORITY_MS = 3650 * DAY_MS;
/** Clocks of nodes differ. */
const SKEW_MS = 300_000;
/** Of an authority's life: when the one after it is made known, and when that one takes over. */
const KNOWN_AT = 0.5;
const TAKEN_OVER_AT = 0.75;
/** Until everybody has heard of it, whatever the life of the one before. */
const SPREAD_MS = DAY_MS;
/** Of a certificate's life: when the next one is issued. */
const RENEWED_AT = 2 / 3;

const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/g;

function read(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

/** How much of a certificate's life is over: 0 when it begins, 1 at its end. */
function age(certificate: X509Certificate, now: number): number {
  const [from, to] = [certificate.validFromDate.getTime(), certificate.validToDate.getTime()];
  return (now - from) / (to - from);
}

const signs = (authority: string, leaf: X509Certificate): boolean => {
  const issuer = read(authority);
  return issuer !== undefined && leaf.checkIssued(issuer) && leaf.verify(issuer.publicKey);
};

/** Each with a name of its own: among equal names whoever checks a signature takes the first. */
const newAuthority = (now: number): KeyPair =>
  issueAuthority(`serviceroute-xds-ca-${randomUUID().slice(0, 8)}`, { from: now - SKEW_MS, to: now + AUTHORITY_MS });

function isAlive(pem: string, now: number): boolean {
  const certificate = read(pem);
  return certificate !== undefined && age(certificate, now) < 1;
}

const isOlder = (pem: string, than: number): boolean => (read(pem)?.validFromDate.getTime() ?? 0) <= than;

/** Those that signed before stay, so that nobody has to learn of a successor in a hurry. */
function trusting(current: KeyPair, next: KeyPair | undefined, before: string, now: number): Authority {
  const known = [current.certificate, ...(next === undefined ? [] : [next.certificate]), ...(before.match(PEM) ?? [])];
  const trusted = [...new Set(known.map((pem) => `${pem.trim()}\n`))].filter((pem) => isAlive(pem, now)).join("");
  return { current, next, trusted };
}

/**
 * The authority as it should be at a time: made where there is none, its successor made known at half of its life, and
 * the successor in its place long before its end.
 *
 * @returns The same object where nothing is to be done.
 */
export function authorityAt(authority: Authority | undefined, now: number): Authority {
  if (authority === undefined) return trusting(newAuthority(now), undefined, "", now);
  const { current, next, trusted } = authority;
  const certificate = read(current.certificate);
  const over = certificate === undefined ? 1 : age(certificate, now);
  const isKnown = next !== undefined && isOlder(next.certificate, now - SPREAD_MS);
  if (over >= 1 || (over >= TAKEN_OVER_AT && isKnown))
    return trusting(next ?? newAuthority(now), undefined, trusted, now);
  if (over >= KNOWN_AT && next === undefined) return trusting(current, newAuthority(now), trusted, now);
  return authority;
}

function belongs(key: string, certificate: X509Certificate): boolean {
  try {
    return certificate.checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}

const namesOf = ({ uri, dns = [] }: Identity): string => [`URI:${uri}`, ...dns.map((name) => `DNS:${name}`)].join(", ");

/** Whether what somebody has still says who they are, is believed by all, and believes all. */
function isGood(
  { certificate: pem, key, trusted }: Credentials,
  identity: Identity,
  authority: Authority,
  now: number,
) {
  const certificate = read(pem);
  return (
    certificate !== undefined &&
    belongs(key, certificate) &&
    trusted === authority.trusted &&
    certificate.subjectAltName === namesOf(identity) &&
    age(certificate, now) < RENEWED_AT &&
    (authority.trusted.match(PEM) ?? []).some((one) => signs(one, certificate))
  );
}

/**
 * What one who is known by a URI should show at a time.
 *
 * @param has     What it has; it keeps that for two thirds of its life.
 * @param lifeMs  Of what is issued.
 */
export function credentialsAt(
  authority: Authority,
  identity: Identity,
  has: Credentials | undefined,
  { now, lifeMs }: { readonly now: number; readonly lifeMs: number },
): Credentials {
  if (has !== undefined && isGood(has, identity, authority, now)) return has;
  const pair = issueLeaf(authority.current, identity, { from: now - SKEW_MS, to: now + lifeMs });
  return { ...pair, trusted: authority.trusted };
}
