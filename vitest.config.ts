import { defineConfig } from "vitest/config";

const project = (name: string, include: string[], timeoutSeconds: number, oneByOne = false) => ({
  test: {
    name,
    include,
    testTimeout: timeoutSeconds * 1000,
    hookTimeout: timeoutSeconds * 1000,
    fileParallelism: !oneByOne,
    pool: "forks" as const,
    // These share a network namespace.
    setupFiles: oneByOne ? ["test/support/nothing-left.ts"] : [],
  },
});

export default defineConfig({
  test: {
    projects: [
      project("table", ["test/*.test.ts", "test/table/**/*.test.ts"], 60),
      project("golden", ["test/golden/**/*.test.ts"], 30),
      project("feature", ["test/feature/**/*.test.ts"], 60),
      project("contract", ["test/contract/**/*.test.ts"], 60),
      project("control-plane", ["test/crds/**/*.test.ts"], 120, true),
      project("e2e", ["test/e2e/**/*.test.ts"], 300, true),
    ],
  },
});
