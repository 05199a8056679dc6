import { BaseSequencer, type TestSpecification } from "vitest/node";
import { defineConfig } from "vitest/config";

/** The files whose tests take long, last: most mutants are noticed before. */
const LAST = [
  "feature/status",
  "feature/leader",
  "feature/replicas",
  "provisioner",
  "incremental",
  "tenants",
  "isolation",
  "fuzz",
];

class ShortFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number =>
      LAST.findIndex((name) => moduleId.endsWith(`${name}.test.ts`));
    return Promise.resolve(files.toSorted((a, b) => rank(a) - rank(b)));
  }
}

/**
 * Tests without sockets, but for those of the API server: every mutant runs many of them. Those that measure or start
 * programs are left out.
 */
export default defineConfig({
  test: {
    include: [
      "test/table/**/*.test.ts",
      "test/golden/**/*.test.ts",
      "test/feature/{status,events,leader,replicas,provisioner}.test.ts",
    ],
    exclude: [
      "project",
      "argocd",
      "memory",
      "manifest",
      "last-good",
      "patterns",
      "files-source",
      "files-unwatched",
    ].map((name) => `test/table/${name}.test.ts`),
    testTimeout: 60_000,
    isolate: false,
    sequence: { sequencer: ShortFirst },
    env: { SERVICEROUTE_TEST_SHRINK: "off" },
  },
});
