import type { Resource, ResourceType } from "../resources/resource.ts";

/** Everything of a type, whatever its name. @source xDS protocol, "How the client specifies what resources to return". */
const WILDCARD = "*";

/** What a proxy wants of one type, has been sent, and has said that it took. */
export class Subscription {
  readonly type: ResourceType;
  readonly #names = new Set<string>();
  #everything = false;
  /** What it was sent last, whether it took it or not; a name stays until its removal has been sent. */
  readonly sent = new Map<string, Resource | undefined>();
  /** What it has said that it took. */
  readonly taken = new Map<string, Resource>();
  /** Versions that it has from a stream before. */
  readonly brought = new Map<string, string>();
  /** Of what it was sent last, what it has not taken. */
  readonly refused = new Set<string>();
  /** Names of a response that was refused, in groups that are tried apart until it is known which of them it was. */
  readonly suspects: (readonly string[])[] = [];
  /** Whoever asks for everything waits for an answer, though there be nothing. */
  owesAnswer = false;
  /** Names of which something else may have to be sent. */
  readonly dirty = new Set<string>();

  constructor(type: ResourceType) {
    this.type = type;
  }

  wants(name: string): boolean {
    return this.#everything || this.#names.has(name);
  }

  /**
   * @param isFirst   The first request of a type that names nothing asks for everything.
   * @param isReturn  It has something from a stream before, and does not wait for an answer.
   */
  subscribe(names: readonly string[], isFirst: boolean, isReturn: boolean): { readonly everything: boolean } {
    const everything = names.includes(WILDCARD) || (isFirst && names.length === 0);
    this.#everything ||= everything;
    this.owesAnswer ||= everything && !isReturn;
    for (const name of names) if (name !== WILDCARD) this.#names.add(name);
    return { everything };
  }

  unsubscribe(names: readonly string[]): void {
    for (const name of names) {
      if (name === WILDCARD) this.#everything = false;
      this.#names.delete(name);
      if (this.wants(name)) continue;
      this.forget(name);
      this.dirty.delete(name);
    }
  }

  /** Whoever asks for it again is sent it again. */
  forget(name: string): void {
    this.sent.delete(name);
    this.taken.delete(name);
    this.brought.delete(name);
  }

  /** What the proxy has, and is not being told to forget. */
  kept(name: string): Resource | undefined {
    return this.sent.get(name) === undefined ? undefined : this.taken.get(name);
  }

  /** @returns Whether the proxy has this very version already. */
  recognises({ name, version }: Resource): boolean {
    return this.sent.get(name)?.version === version || (!this.sent.has(name) && this.brought.get(name) === version);
  }

  /** A response with these was refused. Which of them were taken all the same, and not what was there before, nobody knows. */
  suspect(names: readonly string[]): void {
    const half = Math.ceil(names.length / 2);
    const groups = [names.slice(0, half), names.slice(half)];
    this.suspects.unshift(...groups.filter((group) => group.length > 0));
  }

  sending(resource: Resource): void {
    this.sent.set(resource.name, resource);
    this.refused.delete(resource.name);
  }
}
