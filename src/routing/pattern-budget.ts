import type { Regex } from "./regex.ts";

/** Instructions of a pattern times characters of the text: this many take some 16 ms. */
const MAX_STEPS = 1_000_000;
const MAX_MS = 20;
/** Longer than any path that a server would take. */
const MAX_RESULT = 16 * 1024;

/** A request whose patterns would take so long that others had to wait for it. */
export class PatternLimit extends Error {
  override readonly name = "PatternLimit";
  constructor(source: string) {
    super(`the pattern ${source} takes too long on this request`);
  }
}

/**
 * What the patterns of one request may cost in all. An engine that is linear in the text is still slow for large
 * patterns and long texts, and nothing else is done meanwhile: no more than 1,000,000 steps for one pattern, and no
 * other pattern once 20 ms and that many steps are spent.
 */
export class PatternBudget {
  readonly #now: () => number;
  #steps = 0;
  #ms = 0;

  /** @param now  Milliseconds; without a clock only each pattern by itself is limited. */
  constructor(now: () => number = () => 0) {
    this.#now = now;
  }

  /** @throws PatternLimit */
  matches(regex: Regex, text: string): boolean {
    if (!text.startsWith(regex.prefix)) return false;
    const start = this.#charge(regex, text.length);
    const found = regex.matches(text);
    this.#ms += this.#now() - start;
    return found;
  }

  /** @throws PatternLimit */
  replaceAll(regex: Regex, text: string, substitution: string): string {
    let start = this.#charge(regex, text.length);
    return regex.replaceAll(text, substitution, (at, length) => {
      if (length > MAX_RESULT) throw new PatternLimit(regex.source);
      this.#ms += this.#now() - start;
      start = this.#charge(regex, text.length - at);
    });
  }

  #charge({ source, size }: Regex, length: number): number {
    const steps = size * length;
    const isSpent = this.#ms > MAX_MS && this.#steps > MAX_STEPS;
    if (steps > MAX_STEPS || isSpent) throw new PatternLimit(source);
    this.#steps += steps;
    return this.#now();
  }
}
