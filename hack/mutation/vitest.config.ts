import { defineConfig } from "vitest/config";

/** Tests without sockets, but for those of the API server: every mutant runs many of them. Those that measure or start programs are left out. */
export default defineConfig({
  test: {
    include: ["test/table/**/*.test.ts", "test/golden/**/*.test.ts", "test/feature/{status,provisioner}.test.ts"],
    exclude: ["test/table/project.test.ts", "test/table/argocd.test.ts", "test/table/memory.test.ts"],
    testTimeout: 60_000,
  },
});
