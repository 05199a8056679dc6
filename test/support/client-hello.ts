const u8 = (value: number): Buffer => Buffer.from([value]);
const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff]);
const u24 = (value: number): Buffer => Buffer.from([value >> 16, (value >> 8) & 0xff, value & 0xff]);
const vector = (length: (value: number) => Buffer, ...parts: readonly Buffer[]): Buffer => {
  const body = Buffer.concat(parts);
  return Buffer.concat([length(body.length), body]);
};
const extension = (type: number, ...parts: readonly Buffer[]): Buffer =>
  Buffer.concat([u16(type), vector(u16, ...parts)]);

const TLS12 = u16(0x0303);
const ECDHE_ECDSA_AES128_GCM = u16(0xc02b);
const P256 = u16(0x0017);
const ECDSA_P256_SHA256 = u16(0x0403);

/**
 * The first record of a TLS 1.2 handshake with any bytes as its server name, which no TLS library would send.
 *
 * @source RFC 5246 section 7.4.1.2, RFC 6066 section 3.
 */
export function clientHello(serverName: Buffer): Buffer {
  const extensions = vector(
    u16,
    extension(0, vector(u16, u8(0), vector(u16, serverName))),
    extension(10, vector(u16, P256)),
    extension(11, vector(u8, u8(0))),
    extension(13, vector(u16, ECDSA_P256_SHA256)),
  );
  const random = Buffer.alloc(32, 7);
  const noSession = u8(0);
  const hello = Buffer.concat([
    TLS12,
    random,
    noSession,
    vector(u16, ECDHE_ECDSA_AES128_GCM),
    vector(u8, u8(0)),
    extensions,
  ]);
  const handshake = Buffer.concat([u8(1), vector(u24, hello)]);
  return Buffer.concat([u8(22), u16(0x0301), vector(u16, handshake)]);
}
