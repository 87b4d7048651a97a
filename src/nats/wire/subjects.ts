/**
 * The names of vmsig on a NATS server: subjects, the bucket of the roster, the stream of the audit.
 *
 *   vmsig.HOST.ENDPOINT.SOURCE.KIND       an event, up
 *   vmsig.HOST.ENDPOINT.AUDIT.AUDIT       an AUDIT event, up: who may not see the audit is not let in there
 *   vmsig.HOST.req.USER.SESSION.cmd       a request of one user's session, down
 *   vmsig.HOST.want.USER                  what a reader wants of one host
 *   vmsig.=all.want.USER                  what a reader wants of every host
 *   vmsig.HOST.audit                      an AUDIT event, kept by the stream
 *   _INBOX.USER.READER.SESSION.HOST       what a host tells one session: answers, pictures, its own events
 *   _INBOX.USER.READER.want.HOST          that a host's events flow
 *
 * A token may hold letters, digits, `_` and `-`; every other byte of a name is written `=XX`, which keys of a
 * KV bucket allow as well. A name that is a word of ours has its first byte written so. Hence an endpoint
 * called "req" is never taken for a request, and `=all` is no host.
 * @module
 */
const ENCODER = new TextEncoder();
const DECODER = new TextDecoder("utf-8", { fatal: true });
const PLAIN = /[A-Za-z0-9_-]/;
/** Bytes of a name at most: what an endpoint's, a host's or a user's name needs many times over. */
const MOST_NAME_BYTES = 128;
/** What stands where an event has no endpoint. */
export const NOWHERE = "-";
/** What stands for every host, where a reader says what it wants. */
export const EVERY_HOST = "=all";
const RESERVED: ReadonlySet<string> = new Set(["req", "want", "audit", NOWHERE]);

/** The KV bucket of the roster: one entry a host. */
export const ROSTER_BUCKET = "vmsig_roster";
/** The stream that keeps the audit. */
export const AUDIT_STREAM = "vmsig_audit";
/** What the audit's stream takes. */
export const AUDIT_SUBJECTS = "vmsig.*.audit";

/** A name as one token of a subject, and as a key of a bucket. */
export function token(name: string): string {
  let text = "";
  for (const byte of ENCODER.encode(name)) {
    const character = String.fromCharCode(byte);
    text += byte < 128 && PLAIN.test(character) ? character : hex(byte);
  }
  if (RESERVED.has(text)) return hex(text.charCodeAt(0)) + text.slice(1);
  return text === "" ? "=" : text;
}

/** The name of a token; undefined for one that {@linkcode token} does not make. */
export function nameOfToken(text: string): string | undefined {
  if (text === "=") return "";
  if (text.length > 3 * MOST_NAME_BYTES || !/^(?:[A-Za-z0-9_-]|=[0-9A-F]{2})+$/.test(text)) return undefined;
  const bytes = new Uint8Array(text.length);
  let length = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "=") {
      bytes[length++] = parseInt(text.slice(i + 1, i + 3), 16);
      i += 2;
    } else bytes[length++] = text.charCodeAt(i);
  }
  try {
    const name = DECODER.decode(bytes.subarray(0, length));
    // One name, one token: what could be written otherwise is not valid.
    return token(name) === text ? name : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a name can be a host's or a user's. */
export function isName(name: string): boolean {
  const { length } = ENCODER.encode(name);
  return length > 0 && length <= MOST_NAME_BYTES;
}

/**
 * What stands in place of the source CORE of an AUDIT event: rights are lists of what is allowed, source by
 * source, so whoever may hear CORE but no audit is allowed the one and not the other.
 */
export const AUDIT_SOURCE = "AUDIT";

/** Where an event goes. The endpoint is a token already: `-` for none. */
export function eventSubject(host: string, endpoint: string, source: string, kind: string): string {
  return `vmsig.${token(host)}.${endpoint}.${source}.${kind}`;
}

/** Where the events of one source are, of a host or of all. */
export function eventsOf(source: string, host?: string): string {
  return `vmsig.${host === undefined ? "*" : token(host)}.*.${source}.*`;
}

/** Where all hosts tell that events were lost. */
export const OVERRUNS = `vmsig.*.${NOWHERE}.CORE.OVERRUN`;

/** Where a session's requests go. */
export function requestSubject(host: string, user: string, session: string): string {
  return `vmsig.${token(host)}.req.${token(user)}.${session}.cmd`;
}

/** What a host subscribes to, to be asked. */
export function requestsTo(host: string): string {
  return `vmsig.${token(host)}.req.*.*.cmd`;
}

/** Who asks. */
export interface Requester {
  /** The user. */
  readonly user: string;
  /** The same as a token. */
  readonly userToken: string;
  /** The session's number. */
  readonly session: string;
}

/** Who asks, by the subject of a request; undefined when it is none. */
export function requesterOf(subject: string): Requester | undefined {
  const [, , , userToken = "", session = "", word, ...more] = subject.split(".");
  const user = nameOfToken(userToken);
  if (word !== "cmd" || more.length > 0 || user === undefined || !isName(user)) return undefined;
  return isSession(session) ? { user, userToken, session } : undefined;
}

/** A session's or a program's number, which nobody guesses. */
export function newSession(): string {
  return crypto.randomUUID().replaceAll("-", "");
}

/** Whether a text can be a session's number. */
export function isSession(text: string): boolean {
  return /^[A-Za-z0-9]{16,40}$/.test(text);
}

/** What a user may listen to, and a host may answer to. */
export function inboxPrefix(userToken: string): string {
  return `_INBOX.${userToken}`;
}

/** Where a program hears hosts; before a session's number and a host's name. */
export function readerInbox(userToken: string, reader: string): string {
  return `${inboxPrefix(userToken)}.${reader}`;
}

/** Where a session hears its host. */
export function sessionInbox(userToken: string, reader: string, session: string, host: string): string {
  return `${readerInbox(userToken, reader)}.${session}.${token(host)}`;
}

/** Where a reader says what it wants: of one host, or of all. */
export function wantSubject(user: string, host?: string): string {
  return `vmsig.${host === undefined ? EVERY_HOST : token(host)}.want.${token(user)}`;
}

/** What a host subscribes to, to hear what readers want. */
export function wantsTo(host: string): readonly string[] {
  return [`vmsig.${token(host)}.want.*`, `vmsig.${EVERY_HOST}.want.*`];
}

/** Where the audit of a host goes. */
export function auditSubject(host: string): string {
  return `vmsig.${token(host)}.audit`;
}

function hex(byte: number): string {
  return `=${byte.toString(16).toUpperCase().padStart(2, "0")}`;
}
