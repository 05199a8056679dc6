import type { Regex } from "./regex.ts";

/** Instructions of a pattern times characters of the text: this many take some 16 ms. */
const MAX_STEPS = 1_000_000;
const MAX_MS = 20;
/** Longer than any path that a server would take. */
const MAX_RESULT = 16 * 1024;

/** A large pattern on a long text: everyday ones stay below. */
const MANY_STEPS = 10_000;
/** What those of one hostname may take of any second, so that others are served meanwhile. */
const MAX_MS_A_SECOND = 250;
const SECOND_MS = 1000;

/** How long patterns have taken lately. */
export class PatternTime {
  #since = -Infinity;
  #ms = 0;

  isSpent(now: number): boolean {
    return this.#ms >= MAX_MS_A_SECOND && now - this.#since < SECOND_MS;
  }

  add(now: number, ms: number): void {
    if (now - this.#since >= SECOND_MS) {
      this.#since = now;
      this.#ms = 0;
    }
    this.#ms += ms;
  }
}

/** Whose patterns are asked; `patternTime` is made when one of them first is. */
export interface PatternOwner {
  patternTime: PatternTime | undefined;
}

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
 * other pattern once 20 ms and that many steps are spent. Many such requests come at once as well, so that what
 * is costly for one hostname gets no more than a quarter of the time.
 */
export class PatternBudget {
  readonly #now: () => number;
  #steps = 0;
  /** Of the pattern that is asked. */
  #asked = 0;
  #ms = 0;
  #owner: PatternOwner | undefined;

  /** @param now  Milliseconds; without a clock only each pattern by itself is limited. */
  constructor(now: () => number = () => 0) {
    this.#now = now;
  }

  /** From here on patterns are those of this hostname. */
  chargeTo(owner: PatternOwner): void {
    this.#owner = owner;
  }

  /** @throws PatternLimit */
  matches(regex: Regex, text: string): boolean {
    if (!text.startsWith(regex.prefix)) return false;
    const start = this.#charge(regex, text.length);
    const found = regex.matches(text);
    this.#took(start);
    return found;
  }

  /** @throws PatternLimit */
  replaceAll(regex: Regex, text: string, substitution: string): string {
    let start = this.#charge(regex, text.length);
    const result = regex.replaceAll(text, substitution, (at, length) => {
      if (length > MAX_RESULT) throw new PatternLimit(regex.source);
      this.#took(start);
      start = this.#charge(regex, text.length - at);
    });
    this.#took(start);
    return result;
  }

  #took(start: number): void {
    const now = this.#now();
    this.#ms += now - start;
    if (this.#owner !== undefined && this.#asked > MANY_STEPS)
      (this.#owner.patternTime ??= new PatternTime()).add(now, now - start);
  }

  #charge({ source, size }: Regex, length: number): number {
    const steps = size * length;
    const isSpent = this.#ms > MAX_MS && this.#steps > MAX_STEPS;
    const now = this.#now();
    const isGreedy = steps > MANY_STEPS && this.#owner?.patternTime?.isSpent(now) === true;
    if (steps > MAX_STEPS || isSpent || isGreedy) throw new PatternLimit(source);
    this.#asked = steps;
    this.#steps += steps;
    return now;
  }
}
