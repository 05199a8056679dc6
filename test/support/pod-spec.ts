export interface Probe {
  readonly httpGet: { readonly path?: string; readonly port: number | string };
  readonly periodSeconds?: number;
  readonly failureThreshold?: number;
  readonly timeoutSeconds?: number;
}

interface Container {
  readonly name: string;
  readonly image: string;
  readonly args?: readonly string[];
  readonly env?: readonly {
    readonly name: string;
    readonly value?: string;
    readonly valueFrom?: { readonly fieldRef?: { readonly fieldPath: string } };
  }[];
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[];
  readonly readinessProbe?: Probe;
  readonly livenessProbe?: Probe;
  readonly lifecycle?: { readonly preStop?: { readonly sleep?: { readonly seconds: number } } };
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
  readonly securityContext?: { readonly readOnlyRootFilesystem?: boolean };
}

export interface Pod {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly deletionTimestamp?: string;
    readonly deletionGracePeriodSeconds?: number;
  };
  readonly spec: {
    readonly containers: readonly Container[];
    readonly serviceAccountName?: string;
    readonly terminationGracePeriodSeconds?: number;
    readonly securityContext?: { readonly runAsUser?: number; readonly runAsGroup?: number };
    readonly volumes?: readonly { readonly name: string; readonly emptyDir?: object; readonly projected?: object }[];
  };
}

/** What is done, and what an API server fills in by itself and means nothing here. */
const POD_FIELDS = [
  "containers",
  "serviceAccountName",
  "serviceAccount",
  "terminationGracePeriodSeconds",
  "securityContext",
  "volumes",
  "restartPolicy",
  "dnsPolicy",
  "schedulerName",
  "nodeName",
  "tolerations",
  "priority",
  "preemptionPolicy",
  "enableServiceLinks",
];
const CONTAINER_FIELDS = [
  "name",
  "image",
  "args",
  "env",
  "ports",
  "readinessProbe",
  "livenessProbe",
  "lifecycle",
  "volumeMounts",
  "securityContext",
  "resources",
  "imagePullPolicy",
  "terminationMessagePath",
  "terminationMessagePolicy",
];
const VOLUME_FIELDS = ["name", "emptyDir", "projected"];

/** Why a pod cannot be run as it asks to be; undefined when it can. Nothing that it asks for is left out in silence. */
export function unsupported({ spec }: Pod): string | undefined {
  const unknown = (what: string, object: object, fields: readonly string[]): string[] =>
    Object.keys(object)
      .filter((field) => !fields.includes(field))
      .map((field) => `${what}.${field}`);
  const found = [
    ...unknown("spec", spec, POD_FIELDS),
    ...spec.containers.flatMap((container) => unknown("container", container, CONTAINER_FIELDS)),
    ...(spec.volumes ?? []).flatMap((volume) => unknown("volume", volume, VOLUME_FIELDS)),
    ...(spec.containers.length === 1 ? [] : ["more than one container"]),
  ];
  return found.length === 0 ? undefined : `not run by the process kubelet: ${found.join(", ")}`;
}
