/**
 * CRC-32C (Castagnoli; reflected polynomial 0x82F63B78, as iSCSI, RFC 3720 B.4): what guards the header of a
 * vgpu region. Made for a few dozen bytes: one table, no SSE4.2. The table is made when it is first needed:
 * each client loads this, and few look at a region.
 * @module
 */

let table: Int32Array | undefined;

function makeTable(): Int32Array {
  const made = new Int32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) !== 0 ? crc >>> 1 ^ 0x82f6_3b78 : crc >>> 1;
    made[byte] = crc;
  }
  return made;
}

/**
 * CRC-32C of bytes, unsigned.
 *
 * @param bytes the buffer
 * @param from first byte
 * @param end first byte past the last
 */
export function crc32c(bytes: Uint8Array, from = 0, end: number = bytes.length): number {
  const entries = table ??= makeTable();
  let crc = -1;
  for (let i = from; i < end; i++) {
    crc = crc >>> 8 ^ (entries[(crc ^ (bytes[i] as number)) & 0xff] as number);
  }
  return ~crc >>> 0;
}
