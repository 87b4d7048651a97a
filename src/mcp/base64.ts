/**
 * Base64 as MCP carries pictures: the standard alphabet with padding, by Deno's Buffer: Deno 2.4 has no
 * `Uint8Array.prototype.toBase64`.
 * @module
 */
import { Buffer } from "node:buffer";

/** Bytes as base64. */
export function base64Of(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

/** Base64 as bytes; what is not of the alphabet is skipped. */
export function bytesOfBase64(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(text, "base64"));
}
