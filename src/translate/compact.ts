const NONE: readonly never[] = Object.freeze([]);

/** A list to keep: without the room for sixteen more that pushing leaves behind, and the one empty list where it is empty. */
export const compact = <T>(list: readonly T[]): readonly T[] => (list.length === 0 ? NONE : list.slice());
