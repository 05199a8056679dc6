/** What Envoy does otherwise than docs/requests.md and docs/api.md promise of the embedded gateway: title of the test → why. */
export const ENVOY_DIFFERENCES: ReadonlyMap<string, string> = new Map([
  [
    "a mirror gets the request as it came, before rewrites and header changes",
    "Envoy copies a request as it is sent to the backend",
  ],
  [
    "a backend that ends a WebSocket loses none of what it said to a client that still talks and reads slowly",
    "every byte arrives, but then Envoy resets the connection instead of closing it",
  ],
  [
    "a body over its limit is 413 where the gateway answers itself, too",
    "of a body whose length was not said nobody counts the bytes where no backend reads them",
  ],
  [
    "an early answer to a large upload leaves a connection that can be used again",
    "Envoy closes the connection of a request that was answered before it was read",
  ],
  ["D44: an answer says how long its connection is kept", "Envoy keeps it as long without saying so"],
  [
    "F49: a kept connection that its backend closes as we send costs a safe request nothing, and repeats no other",
    "Envoy cannot tell that the connection had been used before, and answers 503 Reset",
  ],
  [
    "D45: a call that is refused before it is understood has a status of gRPC as well",
    "Envoy resets the stream of a request of HTTP/2 with headers that it refuses",
  ],
  ["D45: no route is the status that Envoy would give", "the status is the same; its message ends in a line break"],
  [
    "D45: a rule without backends is the status that Envoy would give",
    "the status is the same; its message ends in a line break",
  ],
  [
    "gRPC-Web-text: a browser's call reaches a gRPC server, trailers come as the last frame",
    "Envoy answers gRPC-Web-text as text, under the type of the binary form",
  ],
  [
    "gRPC-Web reaches a fallback that speaks HTTP/1.1 as it came",
    "Envoy translates before it knows which backend is chosen",
  ],
]);
