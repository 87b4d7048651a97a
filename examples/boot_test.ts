/**
 * A test of a whole machine: it boots a VM of its own, and proves that it comes up. `examples/ci.yml` runs it
 * on each push; a failing step leaves the screen and a trace in vmsig-artifacts.
 *
 *   KERNEL=/boot/vmlinuz INITRD=/boot/initrd.img PROMPT='login:' deno test -A examples/boot_test.ts
 *   DISK=debian.qcow2 PROMPT='login:' deno test -A examples/boot_test.ts
 *
 * @module
 */
import { scratchMachine } from "@vmsig/vmsig/testing";

const env = (name: string) => Deno.env.get(name) || undefined;
const given = { disk: env("DISK"), kernel: env("KERNEL"), initrd: env("INITRD"), append: env("APPEND") };

Deno.test("the machine boots to its prompt", async () => {
  const options = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  await using scratch = await scratchMachine({
    ...options,
    memoryMiB: Number(env("MEMORY_MIB") ?? 1024),
    accelerator: env("ACCELERATOR") === "tcg" ? "tcg" : "auto",
    timeoutMs: 300_000,
  });
  await scratch.machine.screen.text(new RegExp(env("PROMPT") ?? "login:"));
});
