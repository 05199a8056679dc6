import type { ClusterName, ClusterNews } from "../../routing/cluster-news.ts";
import type { EndpointSet } from "../../routing/endpoints.ts";
import { STALE_MS, isNothing } from "./shared-load.ts";

/** News of the health of one backend; of more the oldest are of no use. */
const MOST = 100;

interface Heard {
  readonly from: number;
  readonly news: ClusterNews;
  /** The endpoints as they were. */
  readonly set: EndpointSet | undefined;
  /** Milliseconds that never jump. */
  readonly at: number;
}

const idOf = ({ endpoints, state }: ClusterName): string => `${endpoints} ${state}`;
const isLoad = ({ news }: Heard): boolean => news.kind === "load";

/** What other processes tell of backends that nothing here has used yet: the first request that does has to know it. */
export class EarlyNews {
  readonly #heard = new Map<string, Heard[]>();

  heard(one: Heard): void {
    const { news, from } = one;
    if (news.kind === "wanted") return;
    const id = idOf(news.cluster);
    let known = this.#heard.get(id) ?? [];
    // Of loads only the newest of each counts.
    if (news.kind === "load") known = known.filter((other) => !isLoad(other) || other.from !== from);
    if (news.kind !== "load" || !isNothing(news.load)) known.push(one);
    this.#keep(id, known.slice(-MOST));
  }

  /** In order; here it is forgotten. */
  take(cluster: ClusterName, now: number): readonly Heard[] {
    const known = this.#heard.get(idOf(cluster)) ?? [];
    this.#heard.delete(idOf(cluster));
    return known.filter((one) => !isLoad(one) || now - one.at < STALE_MS);
  }

  /** @param isOver  What counts no more. */
  forget(isOver: (one: Heard) => boolean): void {
    for (const [id, known] of this.#heard)
      this.#keep(
        id,
        known.filter((one) => !isOver(one)),
      );
  }

  #keep(id: string, known: Heard[]): void {
    if (known.length === 0) this.#heard.delete(id);
    else this.#heard.set(id, known);
  }
}
