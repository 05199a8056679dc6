import { Option } from "commander";
import { CommandError } from "./exit.ts";

export const adminOption = (): Option =>
  new Option("--admin <url>", "admin endpoint of a running gateway or controller")
    .default("http://127.0.0.1:9090")
    .env("SERVICEROUTE_ADMIN");

/** @throws CommandError when nobody answers, or answers with an error. */
export async function askAdmin(admin: string, path: string): Promise<unknown> {
  if (!URL.canParse(path, admin)) throw new CommandError(`--admin "${admin}" is no URL`, 2);
  const response = await fetch(new URL(path, admin)).catch(() => undefined);
  if (response === undefined)
    throw new CommandError(`no answer from ${admin}; is a gateway running there? Give its address with --admin`);
  if (!response.ok) throw new CommandError((await response.text()).trim());
  return response.json();
}
