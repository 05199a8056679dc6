import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { LineWriter } from "../../src/telemetry/line-writer.ts";
import type { Outcome, Outlet } from "../../src/telemetry/outlet.ts";
import { fc } from "../support/property.ts";

const listeners = process.listeners("exit");
function forgetEnds(): void {
  for (const listener of process.listeners("exit")) if (!listeners.includes(listener)) process.off("exit", listener);
}
beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => {
  vi.useRealTimers();
  forgetEnds();
});

/** Parts of what it is given are taken, by turns; what is refused, and whether it answers at once, as it is told. */
class Pipe implements Outlet {
  readonly page: number;
  readonly joins: boolean;
  readonly isWhole = false;
  readonly #behaviour: readonly (number | "EAGAIN" | "ENOSPC" | "EPIPE")[];
  readonly #isLate: boolean;
  readonly #taken: Buffer[] = [];
  #asked = 0;
  #onTheirWay = 0;

  constructor(page: number, isLate: boolean, behaviour: readonly (number | "EAGAIN" | "ENOSPC" | "EPIPE")[]) {
    this.page = page;
    this.joins = isLate;
    this.#isLate = isLate;
    this.#behaviour = behaviour;
  }

  get text(): Buffer {
    return Buffer.concat(this.#taken);
  }

  take(bytes: Buffer, later: (outcome: Outcome) => void): Outcome | undefined {
    expect(this.#onTheirWay, "writes on their way").toBe(0);
    if (!this.#isLate) return this.takeNow(bytes);
    this.#onTheirWay++;
    const copy = Buffer.from(bytes);
    setTimeout(() => {
      this.#onTheirWay--;
      later(this.takeNow(copy));
    }, 3);
    return undefined;
  }

  takeNow(bytes: Buffer): Outcome {
    const does = this.#behaviour[this.#asked++] ?? 1;
    if (typeof does === "string") return Object.assign(new Error(does), { code: does });
    const count = Math.ceil(bytes.length * does);
    this.#taken.push(bytes.subarray(0, count));
    return count;
  }
}

const does = fc.oneof(
  { weight: 25, arbitrary: fc.constant(1) },
  { weight: 15, arbitrary: fc.double({ min: 0.01, max: 0.99, noNaN: true }) },
  { weight: 10, arbitrary: fc.constantFrom("EAGAIN" as const, "ENOSPC" as const) },
  { weight: 1, arbitrary: fc.constant("EPIPE" as const) },
);
const line = fc
  .tuple(fc.string({ unit: fc.constantFrom("x", "é", "–", "😀"), maxLength: 30 }), fc.integer({ min: 1, max: 40 }))
  .map(([text, times]) => `${text.repeat(times)}\n`);

test("F54: whatever is taken of it and when, every line comes once and whole, in order, or is counted as lost", () => {
  const step = fc.oneof({ weight: 4, arbitrary: line }, { weight: 1, arbitrary: fc.constantFrom(1, 7, 120) });
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 80 }),
      fc.array(does, { maxLength: 40 }),
      fc.boolean(),
      fc.constantFrom(100, 4096, 65_536),
      (steps, behaviour, isLate, page) => {
        const pipe = new Pipe(page, isLate, behaviour);
        let lost = 0;
        const writer = new LineWriter(
          () => pipe,
          () => lost++,
        );
        for (const one of steps)
          if (typeof one === "string") writer.write(one);
          else vi.advanceTimersByTime(one);
        vi.advanceTimersByTime(20_000);
        const lines = steps.filter((one) => typeof one === "string");
        expect(Buffer.from(lines.join("")).subarray(0, pipe.text.length)).toEqual(pipe.text);
        expect(pipe.text.filter((byte) => byte === 0x0a).length + lost).toBe(lines.length);
        expect(vi.getTimerCount()).toBe(0);
        forgetEnds();
      },
    ),
    { numRuns: 500 },
  );
});

test("F54: a reader who was slow for once is asked again soon", () => {
  const pipe = new Pipe(4096, false, ["EAGAIN"]);
  const writer = new LineWriter(
    () => pipe,
    () => undefined,
  );
  writer.write("x".repeat(4000) + "\n");
  writer.write("y".repeat(4000) + "\n");
  expect(pipe.text.length).toBe(0);
  vi.advanceTimersByTime(10);
  expect(pipe.text.length).toBe(8002);
});

test.for([
  ["a line", ["x\n"]],
  ["more than a page", Array.from({ length: 50 }, () => `${"x".repeat(99)}\n`)],
] as const)("%s is written after 100 ms at most", ([, lines]) => {
  const pipe = new Pipe(4096, false, []);
  const writer = new LineWriter(
    () => pipe,
    () => undefined,
  );
  for (const one of lines) writer.write(one);
  vi.advanceTimersByTime(100);
  expect(pipe.text.toString()).toBe(lines.join(""));
});
