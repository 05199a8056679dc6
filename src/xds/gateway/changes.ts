import type { Resource, ResourceId } from "../resources/resource.ts";

/** undefined = gone. */
export type Change = ReadonlyMap<ResourceId, Resource | undefined>;

/** The resources of one Gateway, and which of them are others than at the last look. */
export class Changes {
  readonly resources = new Map<ResourceId, Resource>();
  readonly #changed = new Map<ResourceId, Resource | undefined>();

  set(resource: Resource): void {
    const old = this.resources.get(resource.id);
    if (old?.version === resource.version) {
      // The same to proxies, which have this very object; what it is made of may be others all the same.
      const { uses, routes } = resource;
      return void Object.assign(old, { uses, ...(routes === undefined ? {} : { routes }) });
    }
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
