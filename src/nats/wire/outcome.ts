/**
 * What became of a command whose answer did not come, and the name by which any program of its sender asks
 * for that: HOST/SESSION/NUMBER, with the host as a token (`subjects.ts`).
 * @module
 */
import type { CodeName } from "../../base/codes.ts";
import { isName, isSession, nameOfToken, token } from "./subjects.ts";

const MAX_SEQ = 0xffff_ffff;

/** What became of a command. */
export type CommandOutcome =
  /** It was done. */
  | { readonly is: "done" }
  /** It was answered with this code, and not done. */
  | { readonly is: "refused"; readonly code: CodeName }
  /** It is being done. */
  | { readonly is: "under way" }
  /** It did not get there, and will not be done if it still does. */
  | { readonly is: "never" }
  /** It cannot be told, or not any more. */
  | { readonly is: "unknown"; readonly why: string };

/** Which request of which session it was. */
export interface CommandId {
  /** The host. */
  readonly host: string;
  /** The session's number. */
  readonly session: string;
  /** The request's, in its session. */
  readonly seq: number;
}

/** An id as text: one word that a shell leaves as it is. */
export function commandIdText({ host, session, seq }: CommandId): string {
  return `${token(host)}/${session}/${seq}`;
}

/** The id of a text; undefined when it is none. */
export function commandIdOf(text: string): CommandId | undefined {
  const [hostToken = "", session = "", number = "", ...more] = text.split("/");
  const host = nameOfToken(hostToken);
  const seq = /^[1-9]\d{0,9}$/.test(number) ? Number(number) : 0;
  if (host === undefined || !isName(host) || !isSession(session) || more.length > 0) return undefined;
  return seq === 0 || seq > MAX_SEQ ? undefined : { host, session, seq };
}
