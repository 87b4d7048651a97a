/**
 * Ensures that a runtime directory has one daemon: the metrics socket, the records of held keys and the v2v
 * sockets have fixed names there, so that two daemons with different control sockets would take them from
 * each other. The lock is taken before anything else is changed, and taken again after the directory was
 * removed under the daemon and made again.
 * @module
 */
import { LockFile } from "../../ffi/lock_file.ts";
import { OsError } from "../../ffi/os_error.ts";
import { Fault } from "../base/fault.ts";

/** The lock's name in the directory. */
const RUNTIME_LOCK_NAME = "daemon.lock";

/** The lock of a runtime directory. */
export class RuntimeLock implements Disposable {
  readonly #directory: string;
  #file: LockFile;

  /**
   * Locks a directory.
   *
   * @param directory must exist
   * @throws {Fault} `busy` with the pid of the daemon that holds it; `refused` when the lock cannot be made
   */
  constructor(directory: string) {
    this.#directory = directory;
    this.#file = take(directory);
  }

  /**
   * Locks the directory again if the lock file is gone, making the directory if necessary; otherwise does
   * nothing.
   *
   * @throws {Fault} when another daemon has locked it meanwhile
   */
  renew(): void {
    if (this.#file.isThere) return;
    Deno.mkdirSync(this.#directory, { recursive: true, mode: 0o755 });
    const before = this.#file;
    this.#file = take(this.#directory);
    before[Symbol.dispose]();
  }

  /** Unlocks the directory. */
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
