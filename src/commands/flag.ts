import { InvalidArgumentError, Option } from "commander";
import { CommandError } from "./exit.ts";

/** A flag that can also be given as SERVICEROUTE_*; an empty one is not given. */
export function flag(flags: string, description: string): Option {
  const option = new Option(flags, description);
  const name = `SERVICEROUTE_${option.attributeName().replaceAll(/[A-Z]/g, "_$&").toUpperCase()}`;
  if (option.isBoolean()) return booleanFlag(option, name);
  if (process.env[name] !== "") return option.env(name);
  option.description += ` (env: ${name})`;
  return option;
}

/** A flag without a value that is off unless it is given. */
export function toggle(flags: string, description: string): Option {
  const option = flag(flags, description);
  return option.defaultValue === undefined ? option.default(false) : option;
}

/** Commander takes a flag without a value for given as soon as its variable exists, whatever it says. */
function booleanFlag(option: Option, name: string): Option {
  const value = process.env[name];
  option.description += ` (env: ${name})`;
  if (value === undefined || value === "") return option;
  if (!/^(true|false|1|0)$/i.test(value)) throw new CommandError(`${name} is true or false, not "${value}"`, 2);
  return /^(true|1)$/i.test(value)
    ? option.default(true, "true, from the environment")
    : option.default(false, "false, from the environment");
}

export function parsePort(value: string): number {
  const port = Number(value);
  if (!/^[0-9]+$/.test(value) || port < 1 || port > 65_535)
    throw new InvalidArgumentError("a port is a number from 1 to 65535.");
  return port;
}

/** A name that an object of the API server can have; room is left for what we put before it. */
export function parseName(value: string): string {
  if (!/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(value) || value.length > 200)
    throw new InvalidArgumentError("a name has lower-case letters, digits, '-' and '.', and at most 200 of them.");
  return value;
}

/** Seconds, from a number or a duration such as 30s or 2m. */
export function parseSeconds(value: string): number {
  const match = /^([0-9]{1,6})(s|m|h)?$/.exec(value);
  if (match === null) throw new InvalidArgumentError("a time is a number of seconds, or a duration such as 30s or 2m.");
  return Number(match[1]) * { s: 1, m: 60, h: 3600 }[(match[2] as "s" | "m" | "h" | undefined) ?? "s"];
}
