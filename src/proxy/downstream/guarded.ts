interface Client {
  destroy(): unknown;
}

/**
 * Does what a client's bytes have set off. A throw in a listener would end the process: here it ends this client's
 * connection and is told.
 */
export function guarded(client: Client, defect: (error: unknown) => void, work: () => void): void {
  try {
    work();
  } catch (error) {
    client.destroy();
    defect(error);
  }
}
