import { describeRouting } from "./routing-suite.ts";
import { describeForwarding } from "./forwarding-suite.ts";
import { describeFailure } from "./failure-suite.ts";
import { describeWire } from "./wire-suite.ts";
import { startEmbedded } from "../support/data-plane.ts";

describeRouting("embedded gateway", startEmbedded);
describeForwarding("embedded gateway", startEmbedded);
describeFailure("embedded gateway", startEmbedded);
describeWire("embedded gateway", startEmbedded);
