/** Preloaded into a process whose memory a test measures: SIGUSR2 makes it let go of what nobody holds. Needs --expose-gc. */
process.on("SIGUSR2", () => globalThis.gc?.());
