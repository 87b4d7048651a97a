/**
 * The memory configuration from /proc/PID/cmdline, for a VM whose monitor is used by somebody else. The
 * parser is that of `src/qemu`, as in the host probe; this adds the machine type that QEMU uses by default.
 * @module
 */
import { Fault } from "../base/fault.ts";
import { MAX_QEMU_ARGUMENTS, MAX_QEMU_LINE_BYTES } from "../base/limits.ts";
import { CommandLine } from "../qemu/command_line.ts";
import { type MemoryOptions, readMemoryOptions } from "../qemu/memory_options.ts";

export type { BackendOption } from "../qemu/memory_options.ts";
/** The memory configuration; the machine is "pc" by default. */
export interface QemuMemoryOptions extends MemoryOptions {
  /** The program's name, as the process has it. */
  readonly program: string;
}

/**
 * Reads the words of a command line, the program's name first.
 *
 * @throws {Fault} `too-large` when there are more than can be read
 */
export function parseQemuCommandLine(words: readonly string[]): QemuMemoryOptions {
  const line = new CommandLine(words.slice(1));
  if (!line.isWhole) {
    throw new Fault(
      "too-large",
      `Cannot read QEMU's command line: it has ${words.length} arguments; ${MAX_QEMU_ARGUMENTS} of ${MAX_QEMU_LINE_BYTES} bytes together are read`,
    );
  }
  const options = readMemoryOptions(line);
  const machine = options.machine === "" ? "pc" : options.machine;
  return { ...options, machine, program: words[0] ?? "" };
}
