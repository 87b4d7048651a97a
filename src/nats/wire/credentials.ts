/**
 * A program's identity at a NATS server: a file with credentials in one of three formats. A secret is never
 * on a command line or in an address, where `ps` and logs would show it.
 *
 * - what `nsc` makes: a user's JWT and its seed, each between marks of dashes;
 * - an nkey's seed alone: one line that begins with `SU`;
 * - `USER:PASSWORD`, one line.
 * @module
 */
import type { Authenticator } from "@nats-io/nats-core";
import { credsAuthenticator, nkeyAuthenticator, usernamePasswordAuthenticator } from "@nats-io/nats-core";
import { Fault } from "../../base/fault.ts";
import { printable } from "../../base/printable.ts";
import { isName } from "./subjects.ts";

const MOST_BYTES = 64 * 1024;
const ENCODER = new TextEncoder();

/** Parsed credentials. */
export interface Credentials {
  /**
   * In the library's form.
   *
   * @internal
   */
  readonly authenticator: Authenticator;
  /** The name used in subjects: the JWT's name, the nkey's public key, or the user. */
  readonly user: string;
  /** When they expire, ms since 1970, according to themselves; undefined: never. */
  readonly untilMs?: number;
}

/**
 * Reads a file of credentials, once: to rotate them, the program is restarted.
 *
 * @throws {Fault} `missing`, `refused` when others may read it, `bad-argument` for an unknown format
 */
export function readCredentials(path: string): Credentials {
  const shown = printable(path);
  let text: string;
  try {
    const { mode, isFile, size } = Deno.statSync(path);
    if (!isFile || size > MOST_BYTES) {
      throw new Fault("bad-argument", `Cannot use ${shown}: it is not a file of credentials`);
    }
    if (mode !== null && (mode & 0o077) !== 0) {
      throw new Fault(
        "refused",
        `Cannot use ${shown}: other users can read these credentials; chmod 600 it, and replace them if they may have been read`,
      );
    }
    text = Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Fault) throw error;
    if (error instanceof Deno.errors.NotFound) {
      throw new Fault("missing", `Cannot use ${shown}: there is no such file`, { cause: error });
    }
    throw new Fault("missing", `Cannot use ${shown}: it cannot be read`, { cause: error });
  }
  return credentialsOf(text, shown);
}

/**
 * Parses credentials.
 *
 * @param shown their name in messages
 * @throws {Fault} `bad-argument`
 */
export function credentialsOf(text: string, shown: string): Credentials {
  const jwt = /-----BEGIN NATS USER JWT-----\s*([A-Za-z0-9_.-]+)\s*-+END NATS USER JWT-+/.exec(text)?.[1];
  if (jwt !== undefined) {
    return { authenticator: credsAuthenticator(ENCODER.encode(text)), ...claimsOf(jwt, shown) };
  }
  const line = text.trim();
  if (/^SU[A-Z2-7]{40,80}$/.test(line)) {
    const authenticator = nkeyAuthenticator(ENCODER.encode(line));
    return { authenticator, user: publicKeyOf(authenticator, shown) };
  }
  const colon = line.indexOf(":");
  if (colon > 0 && !/\s/.test(line.slice(0, colon)) && !line.includes("\n")) {
    const user = line.slice(0, colon);
    if (!isName(user)) throw badForm(shown);
    return { authenticator: usernamePasswordAuthenticator(user, line.slice(colon + 1)), user };
  }
  throw badForm(shown);
}

function publicKeyOf(authenticator: Authenticator, shown: string): string {
  try {
    const auth = authenticator("a nonce to be signed") as { readonly nkey?: string };
    if (auth.nkey !== undefined) return auth.nkey;
  } catch (error) {
    throw new Fault("bad-argument", `Cannot use ${shown}: its seed is not a valid nkey`, { cause: error });
  }
  throw badForm(shown);
}

function claimsOf(jwt: string, shown: string): Pick<Credentials, "user" | "untilMs"> {
  try {
    const claims = (jwt.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(claims), (character) => character.charCodeAt(0));
    const { name, exp } = JSON.parse(new TextDecoder().decode(bytes)) as { name?: unknown; exp?: unknown };
    const until = typeof exp === "number" && exp > 0 ? { untilMs: exp * 1000 } : {};
    if (typeof name === "string" && isName(name)) return { user: name, ...until };
  } catch (error) {
    throw new Fault("bad-argument", `Cannot use ${shown}: its JWT is not valid`, { cause: error });
  }
  throw new Fault("bad-argument", `Cannot use ${shown}: its JWT has no name; give one with --as NAME`);
}

function badForm(shown: string): Fault {
  return new Fault(
    "bad-argument",
    `Cannot use ${shown}: it holds neither a user's JWT with its seed, nor an nkey's seed (SU…), nor USER:PASSWORD`,
  );
}
