import { describeRouting } from "./routing-suite.ts";
import { describeForwarding } from "./forwarding-suite.ts";
import { describeFailure } from "./failure-suite.ts";
import { describeGrpc } from "./grpc-suite.ts";
import { describeHttp2Attacks } from "./http2-attack-suite.ts";
import { describeHttp2 } from "./http2-suite.ts";
import { describeWire } from "./wire-suite.ts";
import { describeWireFuzz } from "./wire-fuzz-suite.ts";
import { startEmbedded } from "../support/data-plane.ts";

describeRouting("embedded gateway", async () => startEmbedded());
describeForwarding("embedded gateway", async () => startEmbedded());
describeFailure("embedded gateway", async () => startEmbedded());
describeHttp2("embedded gateway", async () => startEmbedded());
describeGrpc("embedded gateway", async () => startEmbedded());
describeHttp2Attacks("embedded gateway", async () => startEmbedded());
describeWire("embedded gateway", async () => startEmbedded());
describeWireFuzz("embedded gateway", async () => startEmbedded());
