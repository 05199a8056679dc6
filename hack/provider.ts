/** Where tests find what they need: environment variables for them, a line that says what it is, and how to end it. */
export interface Provider {
  readonly env: Readonly<Record<string, string>>;
  readonly description: string;
  readonly stop: () => Promise<void>;
}
