import { LONGEST_WRITE } from "./outlet.ts";
import type { DestinationStream } from "./logger.ts";

/** One request, as its line in the access log tells it; docs/operating.md says what each field means. */
export interface AccessEntry {
  readonly protocol: string;
  readonly method: string;
  readonly authority: string;
  /** Without the query, which may hold secrets. */
  readonly path: string;
  readonly status: number;
  readonly durationMs: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly client: string;
  readonly listener: string;
  readonly userAgent: string | undefined;
  readonly requestId: string | undefined;
  readonly traceId: string | undefined;
  readonly route: string | undefined;
  readonly rule: string | undefined;
  readonly backend: string | undefined;
  readonly endpoint: string | undefined;
  readonly tries: number | undefined;
  readonly reason: string | undefined;
}

const LONGEST_TEXT = 1024;

/**
 * JSON escapes what is below the blank; what else a terminal takes for a command is escaped here (B56): DEL, C1, and
 * the marks that turn the direction of text.
 */
const COMMAND = /[\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/;

const escaped = (text: string): string => text.split("").map(escapedCharacter).join("");
const escapedCharacter = (one: string): string =>
  COMMAND.test(one) ? `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}` : one;

/** The text as it is harmless, also for who prints the value that was read from the line. */
export function harmless(text: string, longest = LONGEST_TEXT): string {
  const cut = text.length > longest ? text.slice(0, longest) : text;
  return COMMAND.test(cut) ? escaped(cut).slice(0, longest) : cut;
}

function harmlessEntry(entry: AccessEntry, longest: number): object {
  const texts = Object.entries(entry).map(([name, value]: [string, unknown]) => [
    name,
    typeof value === "string" ? harmless(value, longest) : value,
  ]);
  return Object.fromEntries(texts) as object;
}

const startOf = (ms: number): string => `{"type":"access","time":"${new Date(ms).toISOString()}",`;
const json = (start: string, entry: object): string => `${start}${JSON.stringify(entry).slice(1)}\n`;

/** Most lines are short and hold no command: for them nothing is looked at by field. Of others texts are cut until they fit. */
function lineOf(start: string, entry: AccessEntry): string {
  const plain = json(start, entry);
  if (plain.length <= LONGEST_TEXT && !COMMAND.test(plain)) return plain;
  for (let longest = LONGEST_TEXT; ; longest /= 2) {
    const line = json(start, harmlessEntry(entry, longest));
    if (Buffer.byteLength(line) <= LONGEST_WRITE) return line;
  }
}

/** Writes one line of JSON for each request, never waiting for the reader. */
export class AccessLog {
  readonly #stream: DestinationStream;
  readonly #share: number;
  readonly #random: () => number;
  readonly #now: () => number;
  /** Of lines of the same millisecond, of which a busy gateway writes several. */
  #start = "";
  #startMs = NaN;

  /**
   * @param share   Of requests that went well, 0..1. Failures are always written.
   * @param random  Uniform in [0, 1).
   * @param now     Milliseconds since 1970.
   */
  constructor(stream: DestinationStream, share: number, random: () => number, now: () => number) {
    this.#stream = stream;
    this.#share = share;
    this.#random = random;
    this.#now = now;
  }

  /** Whether a line is to be written: asked first, so that a line that is not costs nothing. */
  wants(failed: boolean): boolean {
    return failed || this.#share >= 1 || this.#random() < this.#share;
  }

  write(entry: AccessEntry): void {
    const now = this.#now();
    if (now !== this.#startMs) {
      this.#startMs = now;
      this.#start = startOf(now);
    }
    this.#stream.write(lineOf(this.#start, entry));
  }
}
