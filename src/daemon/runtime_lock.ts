/**
 * One daemon a runtime directory: its metrics socket, records of held keys and v2v sockets are there by fixed
 * names, and two daemons with different control sockets would take them from each other. The lock is taken
 * before anything else is touched, and taken anew when the directory was removed under the daemon and is made
 * again.
 * @module
 */
import { LockFile } from "../../ffi/lock_file.ts";
import { OsError } from "../../ffi/os_error.ts";
import { Fault } from "../base/fault.ts";

/** The lock's name in the directory. */
const RUNTIME_LOCK_NAME = "daemon.lock";

/** Holds a runtime directory. */
export class RuntimeLock implements Disposable {
  readonly #directory: string;
  #file: LockFile;

  /**
   * Takes it.
   *
   * @param directory it is there already
   * @throws {Fault} `busy` with the pid of the daemon that has it; `refused` when the lock cannot be made
   */
  constructor(directory: string) {
    this.#directory = directory;
    this.#file = take(directory);
  }

  /**
   * Takes the directory again if its lock is gone, and makes it if need be; nothing when all is as it was.
   *
   * @throws {Fault} when another daemon has it by now
   */
  renew(): void {
    if (this.#file.isThere) return;
    Deno.mkdirSync(this.#directory, { recursive: true, mode: 0o755 });
    const before = this.#file;
    this.#file = take(this.#directory);
    before[Symbol.dispose]();
  }

  /** Lets go. */
  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }
}

function take(directory: string): LockFile {
  try {
    return LockFile.take(`${directory}/${RUNTIME_LOCK_NAME}`, {
      purpose: `serve with the runtime directory ${directory}`,
    });
  } catch (error) {
    if (!(error instanceof OsError)) throw error;
    throw new Fault("refused", `${error.message}; give a runtime_dir or --socket PATH in a folder of yours`, {
      cause: error,
    });
  }
}
