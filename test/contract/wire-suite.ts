import { afterAll, beforeAll, describe, expect } from "vitest";
import { test } from "../support/contract.ts";
import type { DataPlaneRig } from "../support/data-plane.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";
import { type WireAnswer, type WireCase, wireCases } from "../support/wire-case.ts";
import { WireBackend, converse } from "../support/wire-rig.ts";
import { type Message, bytesOf } from "../support/wire-text.ts";

/** `/admin` is not for everybody: a request that means it and is matched as something else would reach the backend. */
export const USUAL = `rules:
- matches: [{path: {value: /admin}}]
  filters: [{type: DirectResponse, directResponse: {statusCode: 403, body: admin}}]
- backendRefs: [{name: web, port: 80}]`;

/** What the gateway adds to every request, and what of it differs from one to the next. */
const ALWAYS = [
  /^x-request-id: .+$/,
  /^x-serviceroute-hops: 1$/,
  /^x-forwarded-for: 127\.0\.0\.1$/,
  /^x-forwarded-proto: http$/,
  /^x-forwarded-host: .*$/,
  /^connection: (keep-alive|close)$/,
];

const lineOf = ([name, value]: readonly [string, string]): string => `${name.toLowerCase()}: ${value}`.trimEnd();

/** Lower-case and sorted: the order of headers with different names means nothing. */
function asText({ start, headers, body }: Message, without: readonly RegExp[]): string {
  const lines = headers.map(lineOf).filter((line) => !without.some((pattern) => pattern.test(line)));
  return [start, ...lines.sort(), "", body.replaceAll("\r\n", "\n")].join("\n");
}

const sorted = (text: string): string => {
  const [head = "", ...body] = text.split("\n\n");
  const [start = "", ...lines] = head.trimEnd().split("\n");
  return [start, ...lines.sort(), "", body.join("\n\n")].join("\n");
};

function seenOf(answer: Message, wanted: WireAnswer): WireAnswer {
  const lines = answer.headers.map(lineOf);
  const names = new Set(answer.headers.map(([name]) => name.toLowerCase()));
  return {
    status: Number(answer.start.split(" ")[1]),
    reason:
      wanted.reason === undefined
        ? undefined
        : lines.find((line) => line.startsWith("x-serviceroute-reason: "))?.slice(23),
    has: wanted.has.filter((line) => lines.includes(line)),
    lacks: wanted.lacks.filter((name) => !names.has(name)),
    body: wanted.body === undefined ? undefined : answer.body,
  };
}

/** Statuses of answers that no backend and no rule gave, and that do not say why. */
const unnamed = (answers: readonly Message[], { reply }: WireCase): string[] =>
  answers
    .filter(({ start, headers }) => {
      const [, status = ""] = start.split(" ");
      const isOwn = Number(status) >= 400 && status !== "403" && !reply.some((text) => text.includes(` ${status}`));
      return isOwn && !headers.some(([name]) => name.toLowerCase() === "x-serviceroute-reason");
    })
    .map(({ start }) => start);

/** The corpus of requests and answers below HTTP, on any data plane. */
export function describeWire(name: string, start: () => Promise<DataPlaneRig>): void {
  describe(`${name}: on the wire`, () => {
    let rig: DataPlaneRig;
    const web = new WireBackend();
    let published = "";

    beforeAll(async () => {
      await web.start();
      rig = await start();
    });
    afterAll(async () => {
      await rig.close();
      await web.stop();
    });

    const serve = async (rules: string): Promise<void> => {
      if (published === rules) return;
      await rig.publish(serviceYaml("web", [web.port]) + routeYaml("r", `hostnames: [a.example.com]\n${rules}`));
      published = rules;
    };

    test.for(wireCases().map((one): [string, WireCase] => [`${one.row}: ${one.name}`, one]))("%s", async ([, one]) => {
      await serve(one.rules ?? USUAL);
      web.expect(one.reply, one.then);
      const heads = one.send[0]?.startsWith("HEAD ") === true;
      const got = await converse(rig.port, one.send.map(bytesOf), {
        count: one.answer.length,
        heads,
        waitForEnd: one.closed === true,
      });
      expect(got.problem).toBeUndefined();
      expect(
        got.answers.map((answer, i) => (one.answer[i] === undefined ? answer : seenOf(answer, one.answer[i]))),
      ).toEqual(one.answer);
      expect(unnamed(got.answers, one)).toEqual([]);
      expect(web.dirt).toEqual([]);
      expect(web.seen.map((message) => asText(message, ALWAYS))).toEqual(
        one.backend.map((text) => sorted(bytesOf(text).toString("latin1").replaceAll("\r\n", "\n"))),
      );
      if (one.closed !== undefined) expect(got.closed).toBe(one.closed);
    });
  });
}
