/**
 * The demonstration's guest as a machine of the testing library: what the tests of the library, of traces and
 * of `vmsig mcp` drive.
 */
import { DEMO_GUEST } from "../../scripts/demo_guest.ts";
import { type ScratchMachine, scratchMachine, type ScratchOptions } from "../../src/testing/mod.ts";
import { buildGuest } from "./build.ts";

/** Boots it; its shell prompts on the console and on the screen. */
export async function scratchDemo(
  options: Pick<ScratchOptions, "timeoutMs" | "artifacts">,
): Promise<ScratchMachine> {
  const { kernelPath: kernel, initrdPath: initrd } = await buildGuest(DEMO_GUEST);
  return await scratchMachine({
    kernel,
    initrd,
    append: "console=ttyS0 console=tty0 no_timer_check random.trust_cpu=on",
    memoryMiB: 256,
    accelerator: "tcg",
    ...options,
  });
}
