import { Option } from "commander";
import { CommandError } from "./exit.ts";

export const adminOption = (): Option =>
  new Option("--admin <url>", "admin endpoint of a running gateway or controller")
    .default("http://127.0.0.1:9090")
    .env("SERVICEROUTE_ADMIN");

/** Of what fetch throws, which says no more than that it failed. */
function causeOf(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error && cause.message !== "" ? cause.message : message;
}

/** @throws CommandError when nobody answers, or answers with an error. */
export async function askAdmin(admin: string, path: string): Promise<unknown> {
  // `127.0.0.1:9090` is what --admin-address takes.
  const base = admin.includes("://") ? admin : `http://${admin}`;
  if (!URL.canParse(path, base))
    throw new CommandError(`--admin "${admin}" is no URL; write it like http://127.0.0.1:9090`, 2);
  const response = await fetch(new URL(path, base)).catch((error: unknown) => {
    throw new CommandError(
      `no answer from ${admin}: ${causeOf(error)}; is a gateway running there? Give its address with --admin`,
    );
  });
  if (!response.ok) throw new CommandError((await response.text()).trim());
  return response.json();
}
