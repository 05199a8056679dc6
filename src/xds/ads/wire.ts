import { type DescMessage, type MessageShape, fromBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { DeltaDiscoveryRequestSchema } from "../generated/envoy/service/discovery/v3/discovery_pb.js";
import { type Resource, typeOfUrl, typeUrlOf } from "../resources/resource.ts";
import type { DeltaRequest, DeltaResponse } from "./delta-stream.ts";

/** Field numbers. @source envoy/service/discovery/v3/discovery.proto */
const RESPONSE = { resources: 2, typeUrl: 4, nonce: 5, removed: 6 } as const;
const RESOURCE = { version: 1, resource: 2, name: 3 } as const;
const ANY = { typeUrl: 1, value: 2 } as const;

/** Each resource is encoded once, however many proxies it is sent to. */
const frames = new WeakMap<Resource, Uint8Array>();

function frameOf(resource: Resource): Uint8Array {
  let frame = frames.get(resource);
  if (frame === undefined) {
    const { name, version, type, bytes } = resource;
    frame = new BinaryWriter()
      .tag(RESOURCE.version, WireType.LengthDelimited)
      .string(version)
      .tag(RESOURCE.resource, WireType.LengthDelimited)
      .fork()
      .tag(ANY.typeUrl, WireType.LengthDelimited)
      .string(typeUrlOf(type))
      .tag(ANY.value, WireType.LengthDelimited)
      .bytes(bytes)
      .join()
      .tag(RESOURCE.name, WireType.LengthDelimited)
      .string(name)
      .finish();
    frames.set(resource, frame);
  }
  return frame;
}

export function writeDeltaResponse({ type, nonce, resources, removed }: DeltaResponse): Buffer {
  const writer = new BinaryWriter();
  for (const resource of resources) writer.tag(RESPONSE.resources, WireType.LengthDelimited).bytes(frameOf(resource));
  writer.tag(RESPONSE.typeUrl, WireType.LengthDelimited).string(typeUrlOf(type));
  writer.tag(RESPONSE.nonce, WireType.LengthDelimited).string(nonce);
  for (const name of removed) writer.tag(RESPONSE.removed, WireType.LengthDelimited).string(name);
  return Buffer.from(writer.finish());
}

const read = <D extends DescMessage>(schema: D, bytes: Uint8Array): MessageShape<D> => fromBinary(schema, bytes);

/** What a proxy says, with who it is where it says that: in the first request of a stream. */
export interface ReadRequest {
  readonly node: { readonly id: string; readonly cluster: string } | undefined;
  /** undefined: of a type that we have nothing of. */
  readonly request: DeltaRequest | undefined;
}

/** @throws Where the bytes are no request. */
export function readDeltaRequest(bytes: Uint8Array): ReadRequest {
  const message = read(DeltaDiscoveryRequestSchema, bytes);
  const { node, typeUrl, resourceNamesSubscribe, resourceNamesUnsubscribe, initialResourceVersions } = message;
  const type = typeOfUrl(typeUrl);
  return {
    node: node === undefined ? undefined : { id: node.id, cluster: node.cluster },
    request:
      type === undefined
        ? undefined
        : {
            type,
            subscribe: resourceNamesSubscribe,
            unsubscribe: resourceNamesUnsubscribe,
            initialVersions: initialResourceVersions,
            nonce: message.responseNonce,
            error: message.errorDetail?.message,
          },
  };
}
