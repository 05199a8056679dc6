import { z } from "zod";
import type { Kind } from "./kinds.ts";
import { type Key, keyOf } from "./keys.ts";

/** What of an object's metadata we use. Other fields are dropped on the way in. */
export interface ObjectMeta {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly generation: number;
  /** RFC 3339, or empty in a folder; compares by code unit. */
  readonly creationTimestamp: string;
  readonly deletionTimestamp?: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Of the Gateway that this was made for. */
  readonly gatewayUid?: string | undefined;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const Selector = z.object({
  matchLabels: z.record(z.string(), z.string()).optional(),
  matchExpressions: z
    .array(z.object({ key: z.string(), operator: z.string(), values: z.array(z.string()).optional() }))
    .optional(),
});
export type LabelSelector = z.output<typeof Selector>;

const ObjectRef = z.object({
  group: z.string().optional(),
  kind: z.string().optional(),
  name: z.string(),
  namespace: z.string().optional(),
});

const Listener = z.object({
  name: z.string(),
  hostname: z.string().optional(),
  port: z.int(),
  protocol: z.string(),
  tls: z
    .object({
      mode: z.string().optional(),
      certificateRefs: z.array(ObjectRef).optional(),
      options: z.record(z.string(), z.string()).optional(),
      frontendValidation: z.unknown().optional(),
    })
    .optional(),
  allowedRoutes: z
    .object({
      namespaces: z.object({ from: z.string().optional(), selector: Selector.optional() }).optional(),
      kinds: z.array(z.object({ group: z.string().optional(), kind: z.string() })).optional(),
    })
    .optional(),
});
export type ListenerSpec = z.output<typeof Listener>;

/** How clients of HTTPS listeners are to be verified. */
const FrontendTls = z.object({ validation: z.unknown().optional() });

const Gateway = z.object({
  spec: z.object({
    gatewayClassName: z.string(),
    listeners: z.array(Listener),
    addresses: z.array(z.object({ type: z.string().optional(), value: z.string().optional() })).optional(),
    defaultScope: z.string().optional(),
    infrastructure: z
      .object({
        labels: z.record(z.string(), z.string()).optional(),
        annotations: z.record(z.string(), z.string()).optional(),
        parametersRef: z.object({ group: z.string(), kind: z.string(), name: z.string() }).optional(),
      })
      .optional(),
    tls: z
      .object({
        frontend: z
          .object({
            default: FrontendTls.optional(),
            perPort: z.array(z.object({ port: z.int(), tls: FrontendTls })).optional(),
          })
          .optional(),
      })
      .optional(),
  }),
  status: z
    .object({ addresses: z.array(z.object({ value: z.string() })).optional() })
    .optional()
    .catch(undefined),
});

const GatewayClass = z.object({
  spec: z.object({
    controllerName: z.string(),
    parametersRef: z.object({ group: z.string(), kind: z.string(), name: z.string() }).optional(),
  }),
});

const ReferenceGrant = z.object({
  spec: z.object({
    from: z.array(z.object({ group: z.string(), kind: z.string(), namespace: z.string() })),
    to: z.array(z.object({ group: z.string(), kind: z.string(), name: z.string().optional() })),
  }),
});

const Service = z.object({
  spec: z
    .object({
      type: z.string().optional(),
      clusterIP: z.string().optional(),
      ports: z
        .array(
          z.object({
            name: z.string().optional(),
            port: z.int(),
            protocol: z.string().optional(),
            appProtocol: z.string().optional(),
            targetPort: z.union([z.int(), z.string()]).optional(),
          }),
        )
        .optional(),
    })
    .optional(),
  status: z
    .object({
      loadBalancer: z
        .object({
          ingress: z.array(z.object({ ip: z.string().optional(), hostname: z.string().optional() })).nullish(),
        })
        .optional(),
    })
    .optional()
    .catch(undefined),
});

const EndpointSlice = z.object({
  addressType: z.string().optional(),
  ports: z
    .array(z.object({ name: z.string().nullish(), port: z.int().nullish(), protocol: z.string().nullish() }))
    .nullish(),
  endpoints: z
    .array(
      z.object({
        addresses: z.array(z.string()).nullish(),
        conditions: z
          .object({ ready: z.boolean().nullish(), serving: z.boolean().nullish(), terminating: z.boolean().nullish() })
          .nullish(),
      }),
    )
    .nullish(),
});

const EndpointAddress = z.object({ ip: z.string() });
const Endpoints = z.object({
  subsets: z
    .array(
      z.object({
        addresses: z.array(EndpointAddress).nullish(),
        notReadyAddresses: z.array(EndpointAddress).nullish(),
        ports: z
          .array(z.object({ name: z.string().optional(), port: z.int(), protocol: z.string().optional() }))
          .nullish(),
      }),
    )
    .nullish(),
});

const Secret = z.object({ type: z.string().optional(), data: z.record(z.string(), z.string()).nullish() });
const ConfigMap = z.object({ data: z.record(z.string(), z.string()).nullish() });
const BackendTLSPolicy = z.object({
  spec: z.object({
    targetRefs: z.array(
      z.object({ group: z.string(), kind: z.string(), name: z.string(), sectionName: z.string().optional() }),
    ),
    validation: z.object({
      caCertificateRefs: z.array(z.object({ group: z.string(), kind: z.string(), name: z.string() })).optional(),
      wellKnownCACertificates: z.string().optional(),
      hostname: z.string(),
      subjectAltNames: z
        .array(z.object({ type: z.string(), hostname: z.string().optional(), uri: z.string().optional() }))
        .optional(),
    }),
  }),
});
const ServiceRoute = z.object({ spec: z.unknown().optional(), status: z.unknown().optional() });

const schemas = {
  ServiceRoute,
  Gateway,
  GatewayClass,
  ReferenceGrant,
  Service,
  EndpointSlice,
  Endpoints,
  Namespace: z.object({ spec: z.unknown().optional() }),
  Secret,
  ConfigMap,
  BackendTLSPolicy,
} satisfies Record<Kind, z.ZodType>;

type Bodies = { readonly [K in Kind]: z.output<(typeof schemas)[K]> };
/** One object as the pipeline holds it: parsed, frozen, without what nobody reads. */
export type KubeObject<K extends Kind = Kind> = {
  readonly [P in K]: { readonly kind: P; readonly key: Key<P>; readonly metadata: ObjectMeta } & Readonly<Bodies[P]>;
}[K];

/** The same schemas, so that a kind and what its schema gives stay together where the kind is a type parameter. */
const schemasByKind: { readonly [K in Kind]: z.ZodType<Bodies[K]> } = schemas;

const Metadata = z.object({
  name: z
    .string()
    .max(253)
    .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/, "must be a DNS name (RFC 1123) in lower case"),
  namespace: z
    .string()
    .max(63)
    .regex(/^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$/, "must be a DNS label (RFC 1123) in lower case")
    .optional(),
  uid: z.string().optional(),
  resourceVersion: z.string().optional(),
  generation: z.int().optional(),
  creationTimestamp: z.string().nullish(),
  deletionTimestamp: z.string().nullish(),
  labels: z.record(z.string(), z.string()).nullish(),
  annotations: z.record(z.string(), z.string()).nullish(),
  ownerReferences: z
    .array(z.object({ kind: z.string(), uid: z.string(), controller: z.boolean().nullish() }))
    .nullish()
    .catch(undefined),
});

/** Annotations grow large and only one is read. */
const READ_ANNOTATIONS = ["serviceroute.dev/default-scope"];
const NO_ENTRIES: Readonly<Record<string, string>> = Object.freeze({});

function metaOf(raw: z.output<typeof Metadata>): ObjectMeta {
  const annotations = Object.entries(raw.annotations ?? {}).filter(([name]) => READ_ANNOTATIONS.includes(name));
  const owner = raw.ownerReferences?.find(({ kind, controller }) => kind === "Gateway" && controller === true);
  // No spread: it would keep room in every object for what hardly one has.
  const meta: Mutable<ObjectMeta> = {
    name: raw.name,
    namespace: raw.namespace ?? "",
    uid: raw.uid ?? "",
    resourceVersion: raw.resourceVersion ?? "",
    generation: raw.generation ?? 0,
    creationTimestamp: raw.creationTimestamp ?? "",
    labels: raw.labels ?? NO_ENTRIES,
    annotations: annotations.length === 0 ? NO_ENTRIES : Object.fromEntries(annotations),
  };
  if (raw.deletionTimestamp != null) meta.deletionTimestamp = raw.deletionTimestamp;
  if (owner !== undefined) meta.gatewayUid = owner.uid;
  return meta;
}

export type ParseResult<K extends Kind = Kind> =
  | { readonly ok: true; readonly object: KubeObject<K> }
  | { readonly ok: false; readonly path: readonly PropertyKey[]; readonly message: string };

/**
 * An object of a known kind, as our pipeline holds it. A ServiceRoute's spec stays unparsed here: translation parses
 * it rule by rule, so that a mistake costs only the rule that holds it.
 *
 * @returns The first problem with its path when the object cannot be used at all. Never throws.
 */
export function parseObject<K extends Kind>(kind: K, raw: unknown): ParseResult<K> {
  const metadata = Metadata.safeParse((raw as { metadata?: unknown } | null)?.metadata);
  if (!metadata.success) return problem(["metadata"], metadata.error);
  const schema: z.ZodType<Bodies[K]> = schemasByKind[kind];
  const body = schema.safeParse(raw);
  if (!body.success) return problem([], body.error);
  const meta = metaOf(metadata.data);
  const object = { kind, key: keyOf(kind, meta.namespace, meta.name), metadata: meta, ...body.data };
  return { ok: true, object: deepFreeze(object) };
}

function problem(prefix: readonly PropertyKey[], error: z.ZodError): ParseResult<never> {
  const [issue] = error.issues;
  return { ok: false, path: [...prefix, ...(issue?.path ?? [])], message: issue?.message ?? "invalid object" };
}

export function deepFreeze<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const child of Object.values(value)) deepFreeze(child);
  return value;
}
