import { afterAll } from "vitest";
import { Program } from "./processes.ts";

/** A test that fails leaves programs and the ports that they hold: the next file is to be judged by itself. */
afterAll(async () => Program.killAll());
