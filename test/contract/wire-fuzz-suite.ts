import { afterAll, beforeAll, describe, expect } from "vitest";
import { test } from "../support/contract.ts";
import { hostOf } from "../../src/routing/hostname.ts";
import { normalisePath } from "../../src/routing/request-path.ts";
import type { DataPlaneRig } from "../support/data-plane.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";
import { fc } from "../support/property.ts";
import { type WireCase, wireCases } from "../support/wire-case.ts";
import { marked, nearby, provoke, servedIn } from "../support/wire-fuzz.ts";
import { WireBackend } from "../support/wire-rig.ts";
import { type Message, bytesOf, parseMessage } from "../support/wire-text.ts";
import { USUAL } from "./wire-suite.ts";

const FULL = process.env["SERVICEROUTE_TEST_SIZE"] === "full";
const ROUNDS = FULL ? 400 : 40;
const TIMEOUT_MS = FULL ? 900_000 : 120_000;
const AT_ONCE = 16;

/** What is wrong with a request that reached the backend: nothing may be, whatever the client has sent. */
function problemOf({ start, headers }: Message): string | undefined {
  const [, target = ""] = start.split(" ");
  const path = target.split("?")[0] ?? "";
  const normal = normalisePath(path);
  if (!normal.ok || normal.path !== path) return `the path ${path} is not in its normal form`;
  if (path === "/admin" || path.startsWith("/admin/")) return `${path} was matched as something else`;
  const hosts = headers.flatMap(([name, value]) => (name.toLowerCase() === "host" ? [value] : []));
  if (hosts.length !== 1 || hostOf(hosts[0] ?? "")?.host !== "a.example.com")
    return `the host is ${hosts.join(" and ")}`;
  const names = headers.map(([name]) => name.toLowerCase());
  const hops = names.find((name) => ["te", "trailer", "keep-alive", "expect", "proxy-connection"].includes(name));
  return hops === undefined ? undefined : `${hops} has passed`;
}

/** Whether everything that came back is whole answers. What follows an upgrade is not ours to judge. */
function isClean(sent: Buffer, bytes: Buffer): boolean {
  const text = sent.toString("latin1");
  if (/^HEAD |\nHEAD /m.test(text)) return true;
  for (let rest = bytes; rest.length > 0;) {
    const parsed = parseMessage(rest, false, true);
    if (parsed.kind !== "message") return false;
    if (parsed.message.start.startsWith("HTTP/1.1 101")) return true;
    rest = parsed.rest;
  }
  return true;
}

const isMarked = (sent: Buffer): boolean => sent.includes("X-Fuzz: ");

/**
 * What is wrong with the requests that reached the backend out of some bytes: each is one that was sent, with its method,
 * and has exactly one answer, unless its client had left before it reached it.
 */
function mismatch(sent: Buffer, got: Buffer, seen: readonly Message[]): string[] {
  const text = sent.toString("latin1");
  if (!isMarked(sent)) return [];
  const unsent = seen.filter(({ start }) => !text.includes(`${start.split(" ")[0] ?? ""} `));
  const answers = servedIn(got);
  return [
    ...unsent.map(({ start }) => `${start} was never sent: ${JSON.stringify(text)}`),
    ...(answers === seen.length || got.length === 0
      ? []
      : [`${seen.length} reached, ${answers} answered: ${JSON.stringify(text)}`]),
  ];
}

/** Requests near those of the corpus, on any data plane: none crashes it, hangs, or passes as something else. */
export function describeWireFuzz(name: string, start: () => Promise<DataPlaneRig>): void {
  describe(`${name}: near the corpus`, () => {
    let rig: DataPlaneRig;
    const web = new WireBackend();
    beforeAll(async () => {
      await web.start();
      rig = await start();
      await rig.publish(serviceYaml("web", [web.port]) + routeYaml("r", `hostnames: [a.example.com]\n${USUAL}`));
    });
    afterAll(async () => {
      await rig.close();
      await web.stop();
    });

    test(
      "P18, S16, S17: whatever is sent, backends get clean requests for what they serve, and clients whole answers",
      async () => {
        // Most start from what is served: what is refused anyway shows little.
        const weight = ({ backend }: WireCase): number => (backend.length > 0 ? 4 : 1);
        const requests = wireCases().flatMap((one) =>
          Array.from({ length: weight(one) }, () => Buffer.concat(one.send.map(bytesOf))),
        );
        const seenOf = (number: number): Message[] =>
          web.seen.filter(({ headers }) =>
            headers.some(([name, value]) => name === "x-fuzz" && value === String(number)),
          );
        const counts = { sent: 0, answered: 0, reached: 0 };
        const property = fc.asyncProperty(
          fc.array(nearby(requests), { minLength: AT_ONCE, maxLength: AT_ONCE }),
          async (edits) => {
            web.expect(["HTTP/1.1 200 OK\ncontent-length: 3\n\nweb"], "keep");
            const first = counts.sent;
            counts.sent += edits.length;
            const all = edits.map((bytes, i) => marked(bytes, first + i));
            const got = await Promise.all(
              all.map(async (bytes, i) => provoke(rig.port, bytes, () => seenOf(first + i).length)),
            );
            expect(got.flatMap((bytes, i) => (bytes === undefined ? [all[i]?.toString("latin1")] : []))).toEqual([]);
            expect(
              all.filter((sent, i) => !isClean(sent, got[i] ?? Buffer.alloc(0))).map((sent) => sent.toString("latin1")),
            ).toEqual([]);
            expect(web.dirt).toEqual([]);
            expect(web.seen.flatMap((message) => problemOf(message) ?? [])).toEqual([]);
            expect(all.flatMap((sent, i) => mismatch(sent, got[i] ?? Buffer.alloc(0), seenOf(first + i)))).toEqual([]);
            const unmarked = all.flatMap((sent, i) => (isMarked(sent) ? [] : [got[i] ?? Buffer.alloc(0)]));
            const answered = unmarked.reduce(
              (sum, bytes) => sum + Math.max(servedIn(bytes), bytes.length === 0 ? 1 : 0),
              0,
            );
            expect(
              web.seen.filter(({ headers }) => !headers.some(([name]) => name === "x-fuzz")).length,
            ).toBeLessThanOrEqual(answered);
            counts.answered += got.filter((bytes) => (bytes?.length ?? 0) > 0).length;
            counts.reached += web.seen.length;
          },
        );
        await fc.assert(property, { numRuns: ROUNDS, endOnFailure: true });
        console.log(
          `# wire fuzz: ${counts.sent} sent, ${counts.answered} answered, ${counts.reached} reached the backend`,
        );
        expect(counts.reached).toBeGreaterThan(counts.sent / 5);
        // All but what is half a request even after its edits.
        expect(counts.answered / counts.sent).toBeGreaterThan(0.98);
        expect((await rig.ask("/")).status).toBe(200);
      },
      TIMEOUT_MS,
    );
  });
}
