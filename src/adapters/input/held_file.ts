/**
 * The held record as a file beside the control socket: kept open, one pwrite per change, no fsync (it is
 * needed after the death of the daemon, not of the machine). It is made with the first key, and removed at
 * the end if nothing is held, because VMs come and go by the thousand. If the file cannot be made, that is
 * logged once: input works without it, but a daemon that is killed leaves keys down.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { fchmod, OPEN, reopen } from "../../../ffi/memfd.ts";
import { isOsError } from "../../../ffi/os_error.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { preadInto, pwriteFrom } from "../../../ffi/stream.ts";
import { messageOf } from "../../base/fault.ts";
import type { Log } from "../../base/log.ts";
import { type HeldStore, MAX_HELD_RECORD_BYTES } from "./held_record.ts";

const OWNER_ONLY = 0o600;
const O_CREAT = 0o100;

/** The path of an endpoint's record. */
export function heldPath(runtimeDir: string, endpoint: string): string {
  return `${runtimeDir}/held-${endpoint}.bin`;
}

/** A store in one file. */
export class HeldFile implements HeldStore {
  readonly #path: string;
  readonly #log: Log;
  #file: OwnedFd | null | undefined;

  /** Opens nothing yet: the file is made by the first {@linkcode save}. */
  constructor(path: string, log: Log) {
    this.#path = path;
    this.#log = log;
  }

  load(): Uint8Array {
    const file = this.#open(0);
    if (file === null) return new Uint8Array(0);
    const bytes = new Uint8Array(MAX_HELD_RECORD_BYTES);
    try {
      return bytes.subarray(0, preadInto(file.fd, bytes, 0, bytes.length, 0));
    } catch (error) {
      this.#giveUp(error);
      return new Uint8Array(0);
    }
  }

  save(bytes: Uint8Array<ArrayBuffer>, length: number): void {
    assert(length > 0 && length <= MAX_HELD_RECORD_BYTES, "a record is as long as one that is loaded may be");
    const file = this.#open(O_CREAT);
    if (file === null) return;
    try {
      pwriteFrom(file.fd, bytes, 0, length, 0);
    } catch (error) {
      this.#giveUp(error);
    }
  }

  close(keep: boolean): void {
    const file = this.#file;
    this.#file = undefined;
    if (file === undefined || file === null) return;
    file.close();
    if (keep) return;
    try {
      Deno.removeSync(this.#path);
    } catch (error) {
      // Its folder may have been removed under the daemon.
      if (!(error instanceof Error)) throw error;
      this.#log.debug("the record of held keys is gone already", { path: this.#path, why: error.message });
    }
  }

  /** The file; null if it cannot be made, or does not exist and should not be made. */
  #open(create: number): OwnedFd | null {
    if (this.#file !== undefined) return this.#file;
    try {
      // Never through a symbolic link. It is made without permissions, and then given ours.
      const file = reopen(this.#path, OPEN.READ_WRITE | OPEN.NOFOLLOW | create);
      this.#file = file;
      fchmod(file.fd, OWNER_ONLY);
    } catch (error) {
      if (create === 0 && isOsError(error, "ENOENT")) return null;
      this.#giveUp(error);
    }
    return this.#file ?? null;
  }

  #giveUp(error: unknown): void {
    this.#file?.close();
    this.#file = null;
    this.#log.warn("the record of held keys cannot be written for the next daemon", {
      path: this.#path,
      why: messageOf(error),
    });
  }
}
