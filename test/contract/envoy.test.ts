import { describeRouting } from "./routing-suite.ts";
import { ENVOY_DIFFERENCES } from "./envoy-differences.ts";
import { describeForwarding } from "./forwarding-suite.ts";
import { describeFailure } from "./failure-suite.ts";
import { describeGrpc } from "./grpc-suite.ts";
import { describeHealth } from "./health-suite.ts";
import { describeParity } from "./parity-suite.ts";
import { differsIn } from "../support/contract.ts";
import { startEnvoy } from "../support/data-plane.ts";

differsIn(ENVOY_DIFFERENCES);
describeRouting("Envoy", async () => startEnvoy());
describeForwarding("Envoy", async () => startEnvoy());
describeFailure("Envoy", async () => startEnvoy());
describeGrpc("Envoy", async () => startEnvoy());
describeHealth("Envoy", async () => startEnvoy());
describeParity("Envoy", async () => startEnvoy());
