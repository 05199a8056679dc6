/** Under which name our own facts stand in Envoy's metadata. */
export const METADATA = "serviceroute";
