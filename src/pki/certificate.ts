import { type KeyObject, createPrivateKey, generateKeyPairSync, randomBytes, sign, X509Certificate } from "node:crypto";
import { AsnConvert, OctetString } from "@peculiar/asn1-schema";
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  BasicConstraints,
  Certificate,
  ExtendedKeyUsage,
  Extension,
  Extensions,
  GeneralName,
  KeyUsage,
  KeyUsageFlags,
  Name,
  RelativeDistinguishedName,
  SubjectAlternativeName,
  SubjectPublicKeyInfo,
  TBSCertificate,
  Validity,
  Version,
} from "@peculiar/asn1-x509";

/** A certificate and its private key, both PEM. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

interface Period {
  /** Milliseconds since 1970. */
  readonly from: number;
  readonly to: number;
}

/** Whom a certificate is for. */
export interface Identity {
  readonly commonName: string;
  readonly uri: string;
  readonly dns?: readonly string[];
  readonly usage: "client" | "server";
}

/** @source RFC 5280, 4.2.1 and RFC 5758, 3.2. */
const OID = {
  commonName: "2.5.4.3",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  extendedKeyUsage: "2.5.29.37",
  client: "1.3.6.1.5.5.7.3.2",
  server: "1.3.6.1.5.5.7.3.1",
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
} as const;
const SERIAL_BYTES = 16;

function extension(oid: string, value: object, critical = false): Extension {
  return new Extension({ extnID: oid, critical, extnValue: new OctetString(AsnConvert.serialize(value)) });
}

const nameOf = (commonName: string): Name =>
  new Name([
    new RelativeDistinguishedName([
      new AttributeTypeAndValue({
        type: OID.commonName,
        value: new AttributeValue({ utf8String: commonName }),
      }),
    ]),
  ]);

/** Positive, and never shorter than others take it. */
function serialNumber(): ArrayBuffer {
  const bytes = new Uint8Array(SERIAL_BYTES);
  bytes.set(randomBytes(SERIAL_BYTES));
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.buffer;
}

const pem = (der: Uint8Array): string =>
  `-----BEGIN CERTIFICATE-----\n${(
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? []
  ).join("\n")}\n-----END CERTIFICATE-----\n`;

interface Parts extends Period {
  readonly subject: Name;
  readonly issuer: Name;
  readonly signer: KeyObject | undefined;
  readonly extensions: readonly Extension[];
}

function issue({ subject, issuer, signer, from, to, extensions }: Parts): KeyPair {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const algorithm = new AlgorithmIdentifier({ algorithm: OID.ecdsaWithSha256 });
  const body = new TBSCertificate({
    version: Version.v3,
    serialNumber: serialNumber(),
    signature: algorithm,
    issuer,
    validity: new Validity({ notBefore: new Date(from), notAfter: new Date(to) }),
    subject,
    subjectPublicKeyInfo: AsnConvert.parse(publicKey.export({ type: "spki", format: "der" }), SubjectPublicKeyInfo),
    extensions: new Extensions([...extensions]),
  });
  const signature = sign("sha256", Buffer.from(AsnConvert.serialize(body)), signer ?? privateKey);
  const certificate = new Certificate({
    tbsCertificate: body,
    signatureAlgorithm: algorithm,
    signatureValue: new Uint8Array(signature).buffer,
  });
  return {
    certificate: pem(new Uint8Array(AsnConvert.serialize(certificate))),
    key: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
  };
}

/** A certificate authority that signs itself: it may sign leaves, and no other authority. */
export function issueAuthority(commonName: string, { from, to }: Period): KeyPair {
  const name = nameOf(commonName);
  return issue({
    subject: name,
    issuer: name,
    signer: undefined,
    from,
    to,
    extensions: [
      extension(OID.basicConstraints, new BasicConstraints({ cA: true, pathLenConstraint: 0 }), true),
      extension(OID.keyUsage, new KeyUsage(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign), true),
    ],
  });
}

/** A certificate that says who its holder is by a URI, signed by an authority. */
export function issueLeaf(
  authority: KeyPair,
  { commonName, uri, dns = [], usage }: Identity,
  { from, to }: Period,
): KeyPair {
  const issuer = AsnConvert.parse(new X509Certificate(authority.certificate).raw, Certificate).tbsCertificate.subject;
  const names = [
    new GeneralName({ uniformResourceIdentifier: uri }),
    ...dns.map((dNSName) => new GeneralName({ dNSName })),
  ];
  return issue({
    subject: nameOf(commonName),
    issuer,
    signer: createPrivateKey(authority.key),
    from,
    to,
    extensions: [
      extension(OID.basicConstraints, new BasicConstraints({ cA: false }), true),
      extension(OID.keyUsage, new KeyUsage(KeyUsageFlags.digitalSignature), true),
      extension(OID.extendedKeyUsage, new ExtendedKeyUsage([OID[usage]])),
      extension(OID.subjectAltName, new SubjectAlternativeName(names)),
    ],
  });
}
