import { defineConfig } from "eslint/config";
import tseslint from "typescript-eslint";

const core = ["src/api/**", "src/routing/**", "src/snapshot/**", "src/translate/**"];

export default defineConfig(
  { ignores: ["dist/", "node_modules/", "crds/", "coverage/", "src/**/generated/"] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      // Optional chaining and ?? count as branches here.
      complexity: ["error", 20],
      "max-depth": ["error", 3],
      "max-params": ["error", 5],
      "max-lines": ["error", { max: 300, skipBlankLines: false, skipComments: false }],
      "max-lines-per-function": ["error", { max: 60, skipComments: true, skipBlankLines: true }],
      "no-console": "error",
      "@typescript-eslint/switch-exhaustiveness-check": "error",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
      "@typescript-eslint/no-confusing-void-expression": "off",
      "@typescript-eslint/no-unnecessary-type-parameters": "off",
      "no-restricted-syntax": [
        "error",
        { selector: "ExportDefaultDeclaration", message: "Export by name." },
        {
          selector: "NewExpression[callee.name='RegExp'][arguments.0.type!='Literal']",
          message: "Patterns of users run on the linear-time engine in routing/regex.ts.",
        },
      ],
    },
  },
  {
    files: core,
    rules: {
      "no-restricted-properties": [
        "error",
        { object: "Date", property: "now", message: "Core code knows no clock: take the time as an argument." },
        { object: "Math", property: "random", message: "Core code knows no chance: take the number as an argument." },
        { object: "process", property: "env", message: "Core code reads no environment." },
      ],
    },
  },
  {
    files: ["test/**", "hack/**"],
    rules: {
      "no-console": "off",
      "max-lines": ["error", { max: 500 }],
      "max-lines-per-function": "off",
      "@typescript-eslint/no-non-null-assertion": "off",
      "no-restricted-syntax": "off",
    },
  },
  {
    // One deprecated member of a oneof makes `value` of every member look deprecated.
    files: ["src/xds/resources/**"],
    rules: { "@typescript-eslint/no-deprecated": "off" },
  },
  { files: ["*.config.ts"], rules: { "no-restricted-syntax": "off" } },
);
