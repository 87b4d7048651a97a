/**
 * The certificate and the key of `vmsig web`, from the files named by --tls-cert and --tls-key.
 * @module
 */
import { Fault, messageOf } from "../../base/fault.ts";
import { printable } from "../../base/printable.ts";
import type { TlsFiles } from "../../web/http_listener.ts";

const OTHERS = 0o077;
/** Size limit of a certificate chain or a key, bytes. */
const MOST_PEM_BYTES = 1 << 20;

/**
 * Reads a certificate and its key. The key must belong to this user and be readable by nobody else.
 *
 * @throws {Fault} `refused` with the reason
 */
export async function readTls(certPath: string, keyPath: string): Promise<TlsFiles> {
  const cert = await readPem(certPath, "certificate", /-----BEGIN CERTIFICATE-----/, false);
  const key = await readPem(keyPath, "key", /-----BEGIN ([A-Z]+ )?PRIVATE KEY-----/, true);
  return { cert, key };
}

async function readPem(path: string, what: string, begins: RegExp, isSecret: boolean): Promise<string> {
  const refuse = (why: string, cause?: unknown) =>
    new Fault("refused", `Cannot use the ${what} in ${printable(path)}: ${why}`, { cause });
  try {
    // Opening a FIFO would wait for a writer, and no signal would end that.
    if (!(await Deno.stat(path)).isFile) throw refuse("it is not a plain file");
    using file = await Deno.open(path);
    const { isFile, mode, uid, size } = await file.stat();
    if (!isFile) throw refuse("it is not a plain file");
    if (size > MOST_PEM_BYTES) throw refuse(`it has more than ${MOST_PEM_BYTES} bytes`);
    const isOwn = uid === Deno.uid() || uid === 0;
    if (isSecret && (!isOwn || ((mode ?? 0) & OTHERS) !== 0)) {
      throw refuse("others may read it; chmod 600 it, and have it as your own");
    }
    const text = await new Response(file.readable).text();
    if (!begins.test(text)) throw refuse("it is not PEM, or of another kind");
    return text;
  } catch (error) {
    throw error instanceof Fault ? error : refuse(messageOf(error), error);
  }
}
