import { describeRouting } from "./routing-suite.ts";
import { describeForwarding } from "./forwarding-suite.ts";
import { describeFailure } from "./failure-suite.ts";
import { describeHealth } from "./health-suite.ts";
import { describeParity } from "./parity-suite.ts";
import { startEnvoy } from "../support/data-plane.ts";

describeRouting("Envoy", async () => startEnvoy());
describeForwarding("Envoy", async () => startEnvoy());
describeFailure("Envoy", async () => startEnvoy());
describeHealth("Envoy", async () => startEnvoy());
describeParity("Envoy", async () => startEnvoy());
