import ts from "typescript";

export interface TestTitle {
  readonly text: string;
  /** Entries of the table of `test.for` that it stands for: those that can be seen, others count as one. */
  readonly cases: number;
}

function unwrapped(node: ts.Expression): ts.Expression {
  return ts.isAsExpression(node) || ts.isSatisfiesExpression(node) || ts.isParenthesizedExpression(node)
    ? unwrapped(node.expression)
    : node;
}

const isFor = (node: ts.Node): node is ts.CallExpression =>
  ts.isCallExpression(node) && ts.isPropertyAccessExpression(node.expression) && node.expression.name.text === "for";

const textOf = ({ head, templateSpans }: ts.TemplateExpression): string =>
  [head.text, ...templateSpans.map(({ literal }) => literal.text)].join("…");

/** Every piece of text in a file of tests, with the number of cases that it stands for. */
export function titlesOf(source: string): TestTitle[] {
  const titles: TestTitle[] = [];
  const visit = (node: ts.Node, cases: number): void => {
    if (ts.isStringLiteralLike(node)) titles.push({ text: node.text, cases });
    else if (ts.isTemplateExpression(node)) titles.push({ text: textOf(node), cases });
    if (ts.isCallExpression(node) && isFor(node.expression)) {
      const table = node.expression.arguments[0];
      const rows = table === undefined ? undefined : unwrapped(table);
      const [title, ...rest] = node.arguments;
      if (title !== undefined)
        visit(title, rows !== undefined && ts.isArrayLiteralExpression(rows) ? rows.elements.length : 1);
      for (const other of [node.expression, ...rest]) visit(other, 1);
    } else ts.forEachChild(node, (child) => visit(child, 1));
  };
  visit(ts.createSourceFile("tests.ts", source, ts.ScriptTarget.Latest, true), 1);
  return titles;
}
