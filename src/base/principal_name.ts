/**
 * Principals with a name: people and programs that have no user on this host, and for whom a process of the
 * host joins the bus (`as` of its HELLO). "token:alice" is somebody whom the web console knows by a token,
 * "nats:alice" a user of a NATS server. The daemon takes such a name only from a user whose rule says
 * `speaks_for`, and admits it by the rule of the name alone (`admission.ts`).
 *
 * Names are short, of few characters and without blanks: they stand in logs, on the wire and on pages.
 * @module
 */

/** Kinds of names: who vouches for them. Each is a key of an `[[admission]]`. */
export const PRINCIPAL_KINDS = ["token", "nats"] as const;
/** One of them. */
export type PrincipalKind = (typeof PRINCIPAL_KINDS)[number];

/** Characters of a name at most, without its kind: a public nkey has 56. */
export const MAX_PRINCIPAL_NAME = 64;
/** Bytes of "kind:name" at most; it is ASCII. */
export const MAX_PRINCIPAL_BYTES = 72;

const NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/;
const RULE = `has to be 1 to ${MAX_PRINCIPAL_NAME} of A-Z a-z 0-9 . _ @ - and begin with a letter or digit`;

/** What is wrong with a name (without its kind); "" when nothing is. Goes on behind the name of a key. */
export function principalNameDefect(name: string): string {
  return NAME.test(name) ? "" : RULE;
}

/** What is wrong with "kind:name"; "" when nothing is. Goes on behind the name of a key. */
export function principalDefect(text: string): string {
  const [kind, name] = partsOf(text);
  if (kind === undefined) {
    return `has to be one of ${PRINCIPAL_KINDS.map((each) => `${each}:NAME`).join(", ")}`;
  }
  return principalNameDefect(name);
}

/** What is wrong with an item of `speaks_for`: "kind:name", or "kind:*" for every name of a kind. */
export function speaksForDefect(text: string): string {
  const [kind, name] = partsOf(text);
  if (kind === undefined || name !== "*") return principalDefect(text);
  return "";
}

/** Whether one of the items of `speaks_for` covers a principal. */
export function speaksFor(items: readonly string[], principal: string): boolean {
  const [kind] = partsOf(principal);
  return items.includes(principal) || (kind !== undefined && items.includes(`${kind}:*`));
}

/** Who is behind a control: the user of its process, and for whom that speaks. A grant is one. */
export interface Principal {
  /** The uid. */
  readonly principal: number;
  /** "kind:name"; left out: the user itself. */
  readonly as?: string | undefined;
}

/** A principal in words: "token:alice (uid 1000)", or "uid 1000". */
export function principalWords(uid: number, as = ""): string {
  return as === "" ? `uid ${uid}` : `${as} (uid ${uid})`;
}

function partsOf(text: string): readonly [kind: PrincipalKind | undefined, name: string] {
  const at = text.indexOf(":");
  const kind = PRINCIPAL_KINDS.find((each) => each === text.slice(0, Math.max(0, at)));
  return [kind, text.slice(at + 1)];
}
