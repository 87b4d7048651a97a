/**
 * The held record as a file beside the control socket: kept open, one pwrite a change, no fsync (it is for the death of the daemon, not of the
 * machine). A file that cannot be had is told once and done without: input works, and a killed daemon leaves keys down.
 * @module
 */
import { fchmod, OPEN, reopen } from "../../../ffi/memfd.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { preadInto, pwriteFrom } from "../../../ffi/stream.ts";
import { messageOf } from "../../base/fault.ts";
import type { Log } from "../../base/log.ts";
import { type HeldStore, MAX_HELD_RECORD_BYTES } from "./held_record.ts";

const OWNER_ONLY = 0o600;
const O_CREAT = 0o100;

/** A store in one file. */
export class HeldFile implements HeldStore {
  readonly #path: string;
  readonly #log: Log;
  #file: OwnedFd | null | undefined;

  /** Opens nothing yet: the file is made by the first {@linkcode load} or {@linkcode save}. */
  constructor(path: string, log: Log) {
    this.#path = path;
    this.#log = log;
  }

  load(): Uint8Array {
    const file = this.#open();
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
    const file = this.#open();
    if (file === null) return;
    try {
      pwriteFrom(file.fd, bytes, 0, length, 0);
    } catch (error) {
      this.#giveUp(error);
    }
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }

  #open(): OwnedFd | null {
    if (this.#file !== undefined) return this.#file;
    try {
      // Not through a symlink that somebody left there. It is made with no rights and then given ours.
      const file = reopen(this.#path, OPEN.READ_WRITE | OPEN.NOFOLLOW | O_CREAT);
      this.#file = file;
      fchmod(file.fd, OWNER_ONLY);
    } catch (error) {
      this.#giveUp(error);
    }
    return this.#file ?? null;
  }

  #giveUp(error: unknown): void {
    this.#file?.close();
    this.#file = null;
    this.#log.warn("what is held in the guest cannot be kept for the next daemon", {
      path: this.#path,
      why: messageOf(error),
    });
  }
}
