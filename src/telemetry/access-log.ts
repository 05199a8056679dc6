import { type DestinationStream, pino } from "pino";
import { LONGEST_WRITE } from "./logger.ts";

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
  readonly userAgent?: string;
  readonly requestId?: string;
  readonly traceId?: string;
  readonly route?: string;
  readonly rule?: string;
  readonly backend?: string;
  readonly endpoint?: string;
  readonly tries?: number;
  readonly reason?: string;
}

const LONGEST = 1024;
const LONGEST_IN_A_LONG_LINE = 200;
/** Of what the line has beside the entry. */
const FRAME_BYTES = 100;
/** Of names, numbers and the frame, at most. */
const NAMES_BYTES = 700;
/** Of one character: a control byte as JSON escapes it. */
const MOST_BYTES = 6;

/**
 * JSON escapes what is below the blank; what else a terminal takes for a command is escaped here (B56): DEL, C1, and
 * the marks that turn the direction of text.
 */
export function harmless(text: string, longest = LONGEST): string {
  const cut = text.length > longest ? text.slice(0, longest) : text;
  return COMMAND.test(cut) ? cut.replaceAll(COMMANDS, (one) => `\\u${hex(one.charCodeAt(0))}`) : cut;
}
const COMMAND = /[\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/;
const COMMANDS = /[\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const hex = (code: number): string => code.toString(16).padStart(4, "0");

interface Line {
  readonly fields: Readonly<Record<string, unknown>>;
  /** Characters of all texts. */
  readonly size: number;
}

function lineOf(entry: AccessEntry, longest: number): Line {
  const fields: Record<string, unknown> = {};
  let size = 0;
  for (const [name, value] of Object.entries(entry)) {
    const said: unknown = typeof value === "string" ? harmless(value, longest) : value;
    if (typeof said === "string") size += said.length;
    fields[name] = said;
  }
  return { fields, size };
}

/** Most lines are short whatever their characters come to. */
const isShort = ({ fields, size }: Line): boolean =>
  size * MOST_BYTES + NAMES_BYTES <= LONGEST_WRITE ||
  Buffer.byteLength(JSON.stringify(fields)) <= LONGEST_WRITE - FRAME_BYTES;

/** Writes one line of JSON for each request, never waiting for the reader. */
export class AccessLog {
  readonly #log: ReturnType<typeof pino>;
  readonly #share: number;
  readonly #random: () => number;

  /**
   * @param share   Of requests that went well, 0..1. Failures are always written.
   * @param random  Uniform in [0, 1).
   */
  constructor(stream: DestinationStream, share: number, random: () => number) {
    this.#share = share;
    this.#random = random;
    this.#log = pino(
      { base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: () => ({ type: "access" }) } },
      stream,
    );
  }

  /** Whether a line is to be written: asked first, so that a line that is not costs nothing. */
  wants(failed: boolean): boolean {
    return failed || this.#share >= 1 || this.#random() < this.#share;
  }

  write(entry: AccessEntry): void {
    const line = lineOf(entry, LONGEST);
    this.#log.info((isShort(line) ? line : lineOf(entry, LONGEST_IN_A_LONG_LINE)).fields);
  }
}
