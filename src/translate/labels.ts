import type { LabelSelector } from "../api/objects.ts";

/**
 * @returns Whether `labels` meet `selector`; false for a selector with an operator that does not exist.
 * @source  Kubernetes metav1.LabelSelector.
 */
export function selectorMatches(selector: LabelSelector, labels: Readonly<Record<string, string>>): boolean {
  const has = (key: string): boolean => Object.hasOwn(labels, key);
  const simple = Object.entries(selector.matchLabels ?? {}).every(([key, value]) => has(key) && labels[key] === value);
  return (
    simple &&
    (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
      const value = has(key) ? labels[key] : undefined;
      if (operator === "In") return value !== undefined && values.includes(value);
      if (operator === "NotIn") return value === undefined || !values.includes(value);
      if (operator === "Exists") return has(key);
      return operator === "DoesNotExist" && !has(key);
    })
  );
}
