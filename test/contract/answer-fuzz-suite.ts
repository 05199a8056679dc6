import { afterAll, beforeAll, describe, expect } from "vitest";
import { test } from "../support/contract.ts";
import { ENDINGS, OddBackend, type OddAnswer, askOddly, oddAnswer } from "../support/answer-fuzz.ts";
import type { DataPlaneRig } from "../support/data-plane.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";
import { fc } from "../support/property.ts";
import { wireCases } from "../support/wire-case.ts";
import { nearby } from "../support/wire-fuzz.ts";
import { type Message, bytesOf } from "../support/wire-text.ts";

const FULL = process.env["SERVICEROUTE_TEST_SIZE"] === "full";
const ROUNDS = FULL ? 400 : 40;
const TIMEOUT_MS = FULL ? 900_000 : 120_000;
const AT_ONCE = 16;

const isGateways = ({ headers }: Message): boolean => headers.some(([name]) => name === "x-serviceroute-reason");

/** Whether these are some of those, in their order: chunks come without what frames them. */
function comesFrom(body: string, bytes: Buffer): boolean {
  let at = 0;
  for (const byte of Buffer.from(body, "latin1")) {
    at = bytes.indexOf(byte, at) + 1;
    if (at === 0) return false;
  }
  return true;
}

/** What is wrong with what a client was given for an odd answer. */
function problemOf(odd: Message | string, number: number, { bytes, ending }: OddAnswer): string[] {
  const what = `${JSON.stringify(bytes.toString("latin1"))}, ${ending}`;
  if (typeof odd === "string") return odd === "cut" ? [] : [`${odd}: ${what}`];
  if (isGateways(odd)) return [];
  const marks = odd.headers.flatMap(([name, value]) => (name.toLowerCase() === "x-fuzz" ? [value] : []));
  return [
    ...(marks.every((mark) => mark === String(number)) ? [] : [`another's answer, ${marks.join()}: ${what}`]),
    ...(comesFrom(odd.body, bytes) ? [] : [`a body that was never sent, ${JSON.stringify(odd.body)}: ${what}`]),
  ];
}

/** Answers near those of the corpus, on any data plane: none crashes it, hangs, or is given to who did not ask for it. */
export function describeAnswerFuzz(name: string, start: () => Promise<DataPlaneRig>): void {
  describe(`${name}: answers near the corpus`, () => {
    let rig: DataPlaneRig;
    const backend = new OddBackend();
    beforeAll(async () => {
      await backend.start();
      rig = await start();
      const to = "backendRefs: [{name: web, port: 80}]";
      // What a backend leaves unsaid ends soon; what it says as it should has all the time it needs.
      const rules = `rules: [{matches: [{path: {value: /odd}}], timeouts: {request: 300ms}, ${to}}, {${to}}]`;
      await rig.publish(serviceYaml("web", [backend.port]) + routeYaml("r", rules));
    });
    afterAll(async () => {
      await rig.close();
      await backend.stop();
    });

    test(
      "P18, S18: whatever backends answer, each client gets a whole answer to what it has asked, or none",
      async () => {
        const replies = wireCases().flatMap(({ reply }) => reply.map(bytesOf));
        let lost = 0;
        const counts = { sent: 0, passed: 0, refused: 0, cut: 0 };
        const answer = fc.record({ bytes: nearby(replies), ending: fc.constantFrom(...ENDINGS) });
        const property = fc.asyncProperty(
          fc.array(answer, { minLength: AT_ONCE, maxLength: AT_ONCE }),
          async (answers) => {
            const asked = answers.map(({ bytes, ending }) => {
              const number = counts.sent++;
              const odd = oddAnswer(bytes, number, ending);
              backend.odd.set(number, odd);
              return { number, odd };
            });
            const got = await Promise.all(asked.map(async ({ number }) => askOddly(rig.port, number)));
            expect(got.flatMap(({ odd }, i) => problemOf(odd, asked[i]!.number, asked[i]!.odd))).toEqual([]);
            const bodies = got.map(({ even }) => (typeof even === "string" ? even : even.body));
            // A connection that its backend is about to reset may be met twice in a row.
            const wrong = asked.flatMap(({ number }, i) => (bodies[i] === String(number) ? [] : [bodies[i]]));
            expect(wrong.filter((body) => body !== "Reset\n")).toEqual([]);
            lost += wrong.length;
            expect(backend.dirt).toEqual([]);
            for (const { odd } of got)
              if (typeof odd === "string") counts.cut++;
              else if (isGateways(odd)) counts.refused++;
              else counts.passed++;
          },
        );
        await fc.assert(property, { numRuns: ROUNDS, endOnFailure: true });
        console.log(
          `# answer fuzz: ${counts.sent} answered, ${counts.passed} passed on, ${counts.refused} refused, ${counts.cut} cut`,
        );
        expect(lost).toBeLessThan(counts.sent / 100);
        for (const count of Object.values(counts)) expect(count).toBeGreaterThan(counts.sent / 50);
      },
      TIMEOUT_MS,
    );
  });
}
