import {
  type ChannelCredentials,
  Client,
  type Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
  credentials,
} from "@grpc/grpc-js";

const asText = { serialize: (text: string) => Buffer.from(text), deserialize: (bytes: Buffer) => bytes.toString() };
const method = (name: string, requestStream: boolean, responseStream: boolean): MethodDefinition<string, string> => ({
  path: `/test.Echo/${name}`,
  requestStream,
  responseStream,
  requestSerialize: asText.serialize,
  requestDeserialize: asText.deserialize,
  responseSerialize: asText.serialize,
  responseDeserialize: asText.deserialize,
});

/** A service of every kind of call. Messages are texts: the gateway looks into none. */
export const ECHO = {
  Unary: method("Unary", false, false),
  Upload: method("Upload", true, false),
  Download: method("Download", false, true),
  Chat: method("Chat", true, true),
} satisfies ServiceDefinition;

/** A real gRPC server on a port of its own. */
export class GrpcBackend {
  readonly #server = new Server();
  port = 0;

  async start(implementation: UntypedServiceImplementation): Promise<this> {
    this.#server.addService(ECHO, implementation);
    this.port = await new Promise<number>((resolve, reject) =>
      this.#server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
        error === null ? resolve(port) : reject(error),
      ),
    );
    return this;
  }

  stop(): void {
    this.#server.forceShutdown();
  }
}

export function grpcClient(
  port: number,
  authority = "a.example.com",
  channel: ChannelCredentials = credentials.createInsecure(),
): Client {
  return new Client(`127.0.0.1:${port}`, channel, {
    "grpc.default_authority": authority,
    "grpc.ssl_target_name_override": authority,
    "grpc.enable_retries": 0,
  });
}

export interface UnaryOutcome {
  readonly code: number;
  readonly text: string;
  readonly details: string;
  readonly trailers: Metadata;
}

/** One unary call. Never rejects: a failure has a code. */
export async function callUnary(
  client: Client,
  text: string,
  metadata: Metadata,
  path = ECHO.Unary.path,
): Promise<UnaryOutcome> {
  return new Promise((resolve) => {
    const call = client.makeUnaryRequest(
      path,
      asText.serialize,
      asText.deserialize,
      text,
      metadata,
      { deadline: Date.now() + 10_000 },
      (_error, value) => (answered = value ?? ""),
    );
    let answered = "";
    call.on("status", ({ code, details, metadata: trailers }) =>
      setImmediate(() => resolve({ code, text: answered, details, trailers })),
    );
  });
}
