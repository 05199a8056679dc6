import { type Document, LineCounter, type YAMLMap, isScalar, parseAllDocuments, visit } from "yaml";
import { KINDS, SERVICE_ROUTE_GROUP, apiVersionOf, isKind } from "../../api/kinds.ts";
import { type KubeObject, parseObject } from "../../api/objects.ts";

/** Something to tell about a place in a file; line and column count from 1. */
export interface Diagnostic {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** `Kind namespace/name`, where it is known. */
  readonly object: string;
  readonly message: string;
}

/** Where an object stands, to point at a field of it later. */
export interface Location {
  readonly file: string;
  at(path: readonly PropertyKey[]): { readonly line: number; readonly column: number };
}

export interface Manifest {
  readonly objects: readonly { readonly object: KubeObject; readonly location: Location }[];
  /** Mistakes; a file that has one keeps its last good objects. */
  readonly errors: readonly Diagnostic[];
  /** Things that are left out on purpose, for instance kinds that we do not read. */
  readonly skipped: readonly Diagnostic[];
}

/** A file that is larger is not read. */
export const MAX_BYTES = 16 * 1024 * 1024;
const MAX_ALIASES = 100;
const NAMESPACE = "default";

/** Gateway API routes look as if they should be served; others, such as Deployments, are expected beside ours. */
const NOT_YET = ["HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute", "Ingress", "ListenerSet"];

interface Raw {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata?: Readonly<Record<string, unknown>> | null;
  readonly items?: unknown;
}

function isRaw(value: unknown): value is Raw {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const { apiVersion, kind } = value as Partial<Raw>;
  return typeof apiVersion === "string" && typeof kind === "string";
}

const groupOf = (apiVersion: string): string => apiVersion.split("/").slice(0, -1).join("/");

function nameOf({ metadata }: Raw): string {
  const text = (value: unknown): string => (typeof value === "string" ? value : "");
  return `${text(metadata?.["namespace"]) || NAMESPACE}/${text(metadata?.["name"])}`;
}

const TOO_DEEP = /call stack|stack overflow/i;

/** Offsets of keys that their mapping has already. */
function keysGivenTwice(document: Document.Parsed): number[] {
  const offsets: number[] = [];
  visit(document, {
    Map: (_, map) => {
      const seen = new Set<unknown>();
      for (const { key } of (map as YAMLMap.Parsed).items) {
        if (!isScalar(key)) continue;
        if (seen.has(key.value)) offsets.push(key.range[0]);
        seen.add(key.value);
      }
    },
  });
  return offsets;
}

interface Parsed {
  readonly documents: readonly Document.Parsed[];
  readonly lines: LineCounter;
}

function parse(text: string): Parsed {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text.replace(/^\uFEFF/, ""), {
    lineCounter: lines,
    version: "1.2",
    merge: false,
    // The library compares each key with all before it: a minute for fifty thousand of them.
    uniqueKeys: false,
  });
  return { documents: "empty" in documents ? [] : documents, lines };
}

/** One file. Parsed, it takes forty times the memory of its text: where an object stands is looked up when somebody asks. */
class Source {
  readonly #text: string;
  /** Until it is read: a weak reference would keep it for as long as the files after it are read, too. */
  #reading: Parsed | undefined;
  #parsed: WeakRef<Parsed> | undefined;

  constructor(text: string) {
    this.#text = text;
    this.#reading = parse(text);
  }

  parsed(): Parsed {
    const known = this.#reading ?? this.#parsed?.deref();
    if (known !== undefined) return known;
    const parsed = parse(this.#text);
    this.#parsed = new WeakRef(parsed);
    return parsed;
  }

  letGo(): void {
    this.#reading = undefined;
  }

  /** @param number  Of the document. */
  place(number: number, path: readonly PropertyKey[]): { readonly line: number; readonly column: number } {
    const { documents, lines } = this.parsed();
    const document = documents[number];
    const { line, col } = lines.linePos(document === undefined ? 0 : offsetOf(document, path));
    return { line, column: col };
  }
}

class ManifestReader {
  readonly objects: { object: KubeObject; location: Location }[] = [];
  readonly errors: Diagnostic[] = [];
  readonly skipped: Diagnostic[] = [];
  readonly #file: string;
  readonly #source: Source;

  constructor(file: string, text: string) {
    this.#file = file;
    this.#source = new Source(text);
  }

  read(): Manifest {
    for (const [number, document] of this.#source.parsed().documents.entries()) this.#document(document, number);
    this.#source.letGo();
    return this;
  }

  #document(document: Document.Parsed, number: number): void {
    const broken = [...document.errors, ...document.warnings];
    for (const { pos, message } of broken) this.#broken(message, pos[0]);
    if (broken.length > 0 || document.contents === null) return;
    let value: unknown;
    try {
      const twice = keysGivenTwice(document);
      for (const offset of twice) this.#broken("Map keys must be unique", offset);
      if (twice.length > 0) return;
      value = document.toJS({ maxAliasCount: MAX_ALIASES });
    } catch (error) {
      return this.#broken(error instanceof Error ? error.message : String(error), document.contents.range[0]);
    }
    // An empty document between two separators, as templates leave them.
    if (value !== null && value !== undefined) this.#object(value, number, []);
  }

  #broken(text: string, offset: number): void {
    const { line, col } = this.#source.parsed().lines.linePos(offset);
    const message = TOO_DEEP.test(text) ? "nested too deeply" : (text.split("\n")[0] ?? "").replace(/ at line .*$/, "");
    this.errors.push({ file: this.#file, line, column: col, object: "", message });
  }

  #object(value: unknown, document: number, path: readonly PropertyKey[]): void {
    const location = this.#locate(document, path);
    const fail = (message: string, at: readonly PropertyKey[] = [], object = ""): void =>
      void this.errors.push({ file: this.#file, ...location.at(at), object, message });
    if (!isRaw(value)) return fail("not a Kubernetes object: apiVersion and kind are required");
    if (value.kind.endsWith("List") && Array.isArray(value.items)) {
      for (const [i, item] of value.items.entries()) this.#object(item, document, [...path, "items", i]);
      return;
    }
    const { kind, apiVersion } = value;
    const name = `${kind} ${nameOf(value)}`;
    if (!isKind(kind) || groupOf(apiVersion) !== KINDS[kind].group) {
      if (groupOf(apiVersion) === SERVICE_ROUTE_GROUP)
        return fail(`${SERVICE_ROUTE_GROUP} has no kind ${kind}; did you mean ServiceRoute?`, ["kind"], name);
      if (NOT_YET.includes(kind))
        this.skipped.push({ file: this.#file, ...location.at([]), object: name, message: `${kind} is not served yet` });
      return;
    }
    if (kind === "ServiceRoute" && apiVersion !== apiVersionOf(kind))
      return fail(`apiVersion must be ${apiVersionOf(kind)}`, ["apiVersion"], name);
    const parsed = parseObject(kind, inNamespace(value, KINDS[kind].namespaced));
    if (parsed.ok) this.objects.push({ object: withStringData(parsed.object, value), location });
    else fail(`${parsed.path.join(".")}: ${parsed.message}`, parsed.path, name);
  }

  #locate(document: number, prefix: readonly PropertyKey[]): Location {
    const source = this.#source;
    // Where an object begins is asked again and again, where another has its name.
    const start = source.place(document, prefix);
    const at: Location["at"] = (path) => (path.length === 0 ? start : source.place(document, [...prefix, ...path]));
    return { file: this.#file, at };
  }
}

/** The offset of the node at `path`, or of its nearest ancestor that exists. */
function offsetOf(document: Document.Parsed, path: readonly PropertyKey[]): number {
  for (let length = path.length; length >= 0; length--) {
    const node = document.getIn(path.slice(0, length), true) as { range?: readonly number[] | null } | undefined;
    const offset = node?.range?.[0];
    if (offset !== undefined) return offset;
  }
  return document.contents?.range[0] ?? 0;
}

function inNamespace(raw: Raw, namespaced: boolean): unknown {
  const { namespace, ...metadata } = raw.metadata ?? {};
  return { ...raw, metadata: namespaced ? { ...metadata, namespace: namespace ?? NAMESPACE } : metadata };
}

/** `stringData` of a Secret, which an API server would fold into `data`. */
function withStringData(object: KubeObject, raw: object): KubeObject {
  const { stringData } = raw as { stringData?: unknown };
  if (object.kind !== "Secret" || typeof stringData !== "object" || stringData === null) return object;
  const encoded = Object.entries(stringData).map(([name, value]) => [
    name,
    Buffer.from(String(value)).toString("base64"),
  ]);
  return { ...object, data: { ...object.data, ...(Object.fromEntries(encoded) as Record<string, string>) } };
}

/** A file that cannot be read at all. */
export function unreadable(file: string, message: string): Manifest {
  return { objects: [], errors: [{ file, line: 1, column: 1, object: "", message }], skipped: [] };
}

export const tooLarge = (file: string): Manifest => unreadable(file, `larger than ${MAX_BYTES / 1024 / 1024} MiB`);

/** Every object of one file of YAML or JSON. Never throws: what is wrong is in `errors`. */
export function readManifest(file: string, text: string): Manifest {
  return text.length > MAX_BYTES ? tooLarge(file) : new ManifestReader(file, text).read();
}

export function formatDiagnostic({ file, line, column, object, message }: Diagnostic): string {
  return `${file}:${line}:${column}: ${object === "" ? "" : `${object}: `}${message}`;
}
