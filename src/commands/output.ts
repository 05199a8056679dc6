import { styleText } from "node:util";
import { Option } from "commander";
import { stringify } from "yaml";

export type Format = "table" | "wide" | "json" | "yaml";
type Style = Parameters<typeof styleText>[0];

export const outputOption = (formats: readonly Format[], byDefault: Format): Option =>
  new Option("-o, --output <format>", "output format").choices([...formats]).default(byDefault);

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Coloured where stdout is a terminal and NO_COLOR is not set. */
export function paint(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout });
}

const printable = (_key: string, value: unknown): unknown =>
  value instanceof Map ? Object.fromEntries(value as Map<string, unknown>) : value;

export function printData(value: unknown, format: Format): void {
  const plain: unknown = JSON.parse(JSON.stringify(value, printable));
  print(format === "yaml" ? stringify(plain, { lineWidth: 0 }).trimEnd() : JSON.stringify(plain, null, 2));
}

/** Columns as kubectl prints them: upper-case heads, three spaces between. */
export function printTable(head: readonly string[], rows: readonly (readonly string[])[], emptyText: string): void {
  if (rows.length === 0) return print(emptyText);
  const widths = head.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("   ")
      .trimEnd();
  print(line(head));
  for (const row of rows) print(line(row));
}
