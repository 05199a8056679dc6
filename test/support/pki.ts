import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const openssl = (...args: string[]): string =>
  execFileSync("openssl", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
const EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
/** Arguments of `openssl req` by which a key is made. */
const KEYS = {
  "EC P-256": EC,
  "RSA-2048": ["-newkey", "rsa:2048", "-nodes"],
  "RSA-1024": ["-newkey", "rsa:1024", "-nodes"],
  Ed25519: ["-newkey", "ed25519", "-nodes"],
} as const;

/** A certificate authority in a folder, and what it signs. */
export class Pki {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true });
    openssl(
      "req",
      "-x509",
      ...EC,
      "-days",
      "2",
      "-subj",
      "/CN=test-ca",
      "-keyout",
      this.path("ca.key"),
      "-out",
      this.path("ca.crt"),
    );
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** Writes `name.crt` and `name.key`. */
  issue(
    name: string,
    subject: string,
    extensions: string,
    keyKind: keyof typeof KEYS = "EC P-256",
    days = 2,
  ): { readonly cert: string; readonly key: string } {
    const key = this.path(`${name}.key`);
    writeFileSync(this.path(`${name}.ext`), extensions);
    openssl("req", ...KEYS[keyKind], "-subj", subject, "-keyout", key, "-out", this.path(`${name}.csr`));
    return { cert: this.renew(name, days), key };
  }

  /** Writes `name.crt` anew, for the same key. */
  renew(name: string, days = 2): string {
    const [cert, csr, ext] = [this.path(`${name}.crt`), this.path(`${name}.csr`), this.path(`${name}.ext`)];
    openssl(
      "x509",
      "-req",
      "-in",
      csr,
      "-CA",
      this.path("ca.crt"),
      "-CAkey",
      this.path("ca.key"),
      "-CAcreateserial",
      "-days",
      String(days),
      "-extfile",
      ext,
      "-out",
      cert,
    );
    return cert;
  }

  /** The key of `name`, encrypted. */
  encrypted(name: string): string {
    return openssl("pkcs8", "-topk8", "-in", this.path(`${name}.key`), "-passout", "pass:secret");
  }

  /** A key pair for service-account tokens: `sa.key` and `sa.pub`. */
  serviceAccountKeys(): void {
    openssl("genrsa", "-out", this.path("sa.key"), "2048");
    openssl("rsa", "-in", this.path("sa.key"), "-pubout", "-out", this.path("sa.pub"));
  }
}
