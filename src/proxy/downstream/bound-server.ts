import type { Duplex } from "node:stream";
import type { Certificate, Listener } from "../../routing/listener.ts";
import type { ListenerState } from "../../routing/programmed.ts";
import type { Arrive } from "./downstream.ts";

/** Ports that other processes of the same gateway bind as well, told apart as `address:port`, with `/UDP` after it. */
export interface SharedPorts {
  /** @returns Why this process may not bind it, as the system's code; undefined: it may. */
  claim(socket: string): Promise<string | undefined>;
  /** This process does not bind it any more. */
  release(socket: string): void;
}

/** What a server of one address and port asks and tells. */
export interface SocketHandlers {
  /** Asked of every connection before anything is done for it. */
  readonly admits: (connection: Duplex) => boolean;
  readonly arrive: Arrive;
  /** Told of a defect of ours that has cost a client its connection. */
  readonly defect: (error: unknown) => void;
  readonly listeners: () => readonly Listener[];
  readonly changed: (state: ListenerState) => void;
  readonly ports: SharedPorts | undefined;
}

/** One bound address and port, with all listeners on it. */
export interface BoundServer {
  readonly protocol: Listener["protocol"];
  listen(): void;
  /** The certificate for clients that name no server; none: their handshake is refused. */
  useDefault(certificate: Certificate | undefined): void;
  /** Takes no new connections; resolves when those that are open have ended. */
  drain(): Promise<void>;
  /** Cuts what is still open. */
  destroy(): void;
}
