/**
 * vmsig's names on a NATS server: subjects, the roster's bucket, the audit's stream.
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
 * A token may contain letters, digits, `_` and `-`; every other byte of a name is written as `=XX`, which
 * keys of a KV bucket allow as well. In a name that is one of our own words, the first byte is written that
 * way. So an endpoint called "req" cannot be mistaken for a request, and `=all` is not a valid host.
 * @module
 */
const ENCODER = new TextEncoder();
const DECODER = new TextDecoder("utf-8", { fatal: true });
const PLAIN = /[A-Za-z0-9_-]/;
/** Size limit of a name, bytes: many times what the names of endpoints, hosts and users need. */
const MOST_NAME_BYTES = 128;
/** Stands in place of an endpoint for an event without one. */
export const NOWHERE = "-";
/** Stands for all hosts, in a reader's want. */
export const EVERY_HOST = "=all";
const RESERVED: ReadonlySet<string> = new Set(["req", "want", "audit", NOWHERE]);

/** The KV bucket of the roster, with one entry per host. */
export const ROSTER_BUCKET = "vmsig_roster";
/** The stream that stores the audit. */
export const AUDIT_STREAM = "vmsig_audit";
/** The subjects that the audit's stream stores. */
export const AUDIT_SUBJECTS = "vmsig.*.audit";

/** A name as a token of a subject and a key of a bucket. */
export function token(name: string): string {
  let text = "";
  for (const byte of ENCODER.encode(name)) {
    const character = String.fromCharCode(byte);
    text += byte < 128 && PLAIN.test(character) ? character : hex(byte);
  }
  if (RESERVED.has(text)) return hex(text.charCodeAt(0)) + text.slice(1);
  return text === "" ? "=" : text;
}

/** The name of a token; undefined for one that {@linkcode token} does not produce. */
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
    // Each name has exactly one token: other spellings are not valid.
    return token(name) === text ? name : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a name is valid for a host or a user. */
export function isName(name: string): boolean {
  const { length } = ENCODER.encode(name);
  return length > 0 && length <= MOST_NAME_BYTES;
}

/**
 * Stands in place of the source CORE for an AUDIT event: permissions are lists of allowed subjects per
 * source, so that a user who may receive CORE but not the audit can be given exactly that.
 */
export const AUDIT_SOURCE = "AUDIT";

/** The subject of an event. The endpoint is a token: `-` for none. */
export function eventSubject(host: string, endpoint: string, source: string, kind: string): string {
  return `vmsig.${token(host)}.${endpoint}.${source}.${kind}`;
}

/** The subjects of one source's events, of a host or of all. */
export function eventsOf(source: string, host?: string): string {
  return `vmsig.${host === undefined ? "*" : token(host)}.*.${source}.*`;
}

/** The subjects on which hosts report lost events. */
export const OVERRUNS = `vmsig.*.${NOWHERE}.CORE.OVERRUN`;

/** The subject of a session's requests. */
export function requestSubject(host: string, user: string, session: string): string {
  return `vmsig.${token(host)}.req.${token(user)}.${session}.cmd`;
}

/** The subject on which a host receives requests. */
export function requestsTo(host: string): string {
  return `vmsig.${token(host)}.req.*.*.cmd`;
}

/** The sender of a request. */
export interface Requester {
  /** The user. */
  readonly user: string;
  /** The user as a token. */
  readonly userToken: string;
  /** The session's id. */
  readonly session: string;
}

/** The sender, from the subject of a request; undefined if it is not one. */
export function requesterOf(subject: string): Requester | undefined {
  const [, , , userToken = "", session = "", word, ...more] = subject.split(".");
  const user = nameOfToken(userToken);
  if (word !== "cmd" || more.length > 0 || user === undefined || !isName(user)) return undefined;
  return isSession(session) ? { user, userToken, session } : undefined;
}

/** A random id of a session or a program, which cannot be guessed. */
export function newSession(): string {
  return crypto.randomUUID().replaceAll("-", "");
}

/** Whether a text is a valid session id. */
export function isSession(text: string): boolean {
  return /^[A-Za-z0-9]{16,40}$/.test(text);
}

/** The subjects on which a user may listen and a host may answer. */
export function inboxPrefix(userToken: string): string {
  return `_INBOX.${userToken}`;
}

/** The prefix on which a program hears hosts; followed by a session id and a host's name. */
export function readerInbox(userToken: string, reader: string): string {
  return `${inboxPrefix(userToken)}.${reader}`;
}

/** The subject on which a session hears its host. */
export function sessionInbox(userToken: string, reader: string, session: string, host: string): string {
  return `${readerInbox(userToken, reader)}.${session}.${token(host)}`;
}

/** The subject of a reader's want: for one host, or for all. */
export function wantSubject(user: string, host?: string): string {
  return `vmsig.${host === undefined ? EVERY_HOST : token(host)}.want.${token(user)}`;
}

/** The subject on which a host receives wants. */
export function wantsTo(host: string): readonly string[] {
  return [`vmsig.${token(host)}.want.*`, `vmsig.${EVERY_HOST}.want.*`];
}

/** The subject of a host's audit. */
export function auditSubject(host: string): string {
  return `vmsig.${token(host)}.audit`;
}

function hex(byte: number): string {
  return `=${byte.toString(16).toUpperCase().padStart(2, "0")}`;
}
