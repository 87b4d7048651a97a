/**
 * The guest of the demonstration: Debian's cloud kernel and one small shell on its screen. For
 * scripts/demo.ts by the tests' harness, and as a file for QEMU's -readconfig, for whoever starts QEMU by
 * hand.
 * @module
 */
import { buildGuest, type GuestSpec, INPUT_MODULES } from "../tests/guest/build.ts";
import { cached, contentHash } from "../tests/guest/content_cache.ts";

/** What is in the guest. */
export const DEMO_GUEST: GuestSpec = { programs: ["console"], modules: INPUT_MODULES };

/** `no_timer_check`: under TCG on a busy host the kernel's test of its timer can fail. */
const KERNEL_WORDS = "quiet no_timer_check random.trust_cpu=on";

/** The path of a file for -readconfig that boots the guest: kernel, initramfs and the kernel's words. */
export async function guestConfig(): Promise<string> {
  const { kernelPath, initrdPath } = await buildGuest(DEMO_GUEST);
  const text = `[machine]
  kernel = "${kernelPath}"
  initrd = "${initrdPath}"
  append = "${KERNEL_WORDS}"
`;
  return await cached("images", `${await contentHash([text])}.cfg`, async (staging) => {
    await Deno.writeTextFile(staging, text);
  });
}
