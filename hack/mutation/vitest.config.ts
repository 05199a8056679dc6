import { defineConfig } from "vitest/config";

/** Tests that run in their own process: a mutant in another would not be seen. */
export default defineConfig({
  test: {
    include: [
      "test/table/**/*.test.ts",
      "test/golden/**/*.test.ts",
      "test/contract/**/*.test.ts",
      "test/feature/{status,tls,gateway-lifecycle,samples,provisioner}.test.ts",
    ],
    exclude: ["test/table/project.test.ts", "test/table/argocd.test.ts"],
    testTimeout: 60_000,
  },
});
