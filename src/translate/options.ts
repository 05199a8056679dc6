import type { Certificate } from "../routing/listener.ts";

/** What the operator decides; the rest comes from objects. */
export interface TranslateOptions {
  /** Only Gateways of this class are ours; absent: those of every class of our controller. */
  readonly gatewayClass?: string;
  /** Whether a Gateway is ours by the class's name alone, as in a folder without GatewayClass objects. */
  readonly classByName: boolean;
  /** Where Gateways without an address of their own listen. */
  readonly bindAddress: string;
  /** What status.addresses says for `bindAddress`, which may be a wildcard. */
  readonly advertisedAddress: string;
  /** CIDR that Gateways get addresses from; each then has one of its own. */
  readonly addressPool?: string;
  readonly builtin?: {
    readonly httpPort: number;
    readonly httpsPort: number;
    readonly certificate?: Certificate;
  };
  readonly allowLoopback: boolean;
  /** Every Gateway has an address of its own, whichever that will be: its name stands for it. */
  readonly ownAddresses?: boolean;
  /** Each Gateway is reached through a Service of its own, which says what is bound. */
  readonly gatewayServices?: boolean;
}
