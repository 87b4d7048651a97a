/**
 * JSON text that is an object, or is not.
 * @module
 */
import { isObject } from "../../qemu/protocol/qmp_message.ts";

/** The object; undefined for any other text. */
export function jsonObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value as Record<string, unknown> : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
