/**
 * The outcome of a command whose answer did not arrive, and the id by which any program of its user can ask
 * for it: HOST/SESSION/NUMBER, with the host as a token (`subjects.ts`).
 * @module
 */
import type { CodeName } from "../../base/codes.ts";
import { isName, isSession, nameOfToken, token } from "./subjects.ts";

const MAX_SEQ = 0xffff_ffff;

/** The outcome of a command. */
export type CommandOutcome =
  /** It was carried out. */
  | { readonly is: "done" }
  /** It was refused with this code. */
  | { readonly is: "refused"; readonly code: CodeName }
  /** It is being carried out. */
  | { readonly is: "under way" }
  /** It did not arrive, and will not be carried out if it does. */
  | { readonly is: "never" }
  /** It is unknown, or no longer known. */
  | { readonly is: "unknown"; readonly why: string };

/** Identifies a request of a session. */
export interface CommandId {
  /** The host. */
  readonly host: string;
  /** The session's id. */
  readonly session: string;
  /** The request's number in the session. */
  readonly seq: number;
}

/** An id as text: one word that needs no quoting in a shell. */
export function commandIdText({ host, session, seq }: CommandId): string {
  return `${token(host)}/${session}/${seq}`;
}

/** Parses an id; undefined if it is not valid. */
export function commandIdOf(text: string): CommandId | undefined {
  const [hostToken = "", session = "", number = "", ...more] = text.split("/");
  const host = nameOfToken(hostToken);
  const seq = /^[1-9]\d{0,9}$/.test(number) ? Number(number) : 0;
  if (host === undefined || !isName(host) || !isSession(session) || more.length > 0) return undefined;
  return seq === 0 || seq > MAX_SEQ ? undefined : { host, session, seq };
}
