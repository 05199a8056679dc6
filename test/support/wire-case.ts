import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { parse } from "yaml";

const FOLDER = join(import.meta.dirname, "../wire");

const texts = z.union([z.string(), z.array(z.string())]).transform((one) => (typeof one === "string" ? [one] : one));

const Answer = z.union([
  z.int().transform((status) => ({
    status,
    reason: undefined,
    has: [] as string[],
    lacks: [] as string[],
    body: undefined,
  })),
  z.strictObject({
    status: z.int(),
    reason: z.string().optional(),
    /** Header lines, names in lower case. */
    has: z.array(z.string()).default([]),
    /** Names of headers. */
    lacks: z.array(z.string()).default([]),
    body: z.string().optional(),
  }),
]);

const Case = z.strictObject({
  name: z.string(),
  /** What the client sends; parts are sent one after the other, 30 ms apart. */
  send: texts,
  /** Rules of the route for a.example.com instead of the usual ones. */
  rules: z.string().optional(),
  /** What the backend answers to the first, second, … request; the last is repeated. */
  reply: texts.default(["HTTP/1.1 200 OK\ncontent-length: 3\n\nweb"]),
  /** What the backend does after each answer. */
  then: z.enum(["keep", "close", "reset"]).default("keep"),
  /** The requests that reach it, whole but for what the gateway always adds. */
  backend: texts.default([]),
  /** What the client gets. */
  answer: z.union([Answer.transform((one) => [one]), z.array(Answer)]),
  /** Whether the connection is closed after that. */
  closed: z.boolean().optional(),
});
export type WireCase = z.output<typeof Case> & { readonly row: string };
export type WireAnswer = z.output<typeof Answer>;

const Rows = z.record(z.string().regex(/^[A-Z]\d+$/), z.array(Case));

/** Every case of the corpus, with the row of the catalogue that it is for. */
export function wireCases(): WireCase[] {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith(".yaml"));
  return files.sort().flatMap((file) => {
    const rows = Rows.parse(parse(readFileSync(join(FOLDER, file), "utf8")));
    return Object.entries(rows).flatMap(([row, cases]) => cases.map((one) => ({ ...one, row })));
  });
}
