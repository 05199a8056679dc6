import type { Resource, ResourceId } from "../resources/resource.ts";

/** undefined = gone. */
export type Change = ReadonlyMap<ResourceId, Resource | undefined>;

/** The resources of one Gateway, and which of them are others than at the last look. */
export class Changes {
  readonly resources = new Map<ResourceId, Resource>();
  readonly #changed = new Map<ResourceId, Resource | undefined>();

  set(resource: Resource): void {
    if (this.resources.get(resource.id)?.version === resource.version) return;
    this.resources.set(resource.id, resource);
    this.#changed.set(resource.id, resource);
  }

  drop(id: ResourceId): void {
    if (this.resources.delete(id)) this.#changed.set(id, undefined);
  }

  take(): Change {
    const changed = new Map(this.#changed);
    this.#changed.clear();
    return changed;
  }
}
