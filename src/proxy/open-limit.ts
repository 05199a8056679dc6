/** How many of one kind may be open at once in this process. */
export class OpenLimit {
  #most: number;
  #open = 0;

  /** @param most  0 is no limit. */
  constructor(most: number) {
    this.#most = most === 0 ? Infinity : most;
  }

  /**
   * Another limit from now on; 0 is none at all.
   *
   * @returns  What holds now: no less than what is open.
   */
  allow(most: number): number {
    this.#most = Math.max(most, this.#open);
    return this.#most;
  }

  get open(): number {
    return this.#open;
  }

  /**
   * @param onGone  Called with what gives its place back.
   * @returns       Whether there is room for it.
   */
  admits(onGone: (gone: () => void) => void): boolean {
    if (this.#open >= this.#most) return false;
    this.#open++;
    onGone(() => this.#open--);
    return true;
  }
}
