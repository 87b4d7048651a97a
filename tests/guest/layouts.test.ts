/**
 * Text typed on a real guest by each keyboard layout: the guest's own evdev records which keys came, and
 * libxkbcommon, with the same layout loaded, says which text they are. What a layout cannot type sends
 * nothing.
 */
import "../unit/ffi/loaded_shim.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import type { EndpointId } from "../../src/base/ids.ts";
import { type InputRecord, keyRecord } from "../../src/client/input_record.ts";
import { keyboardLayout } from "../../src/client/keyboard_layout.ts";
import { Fault, machine } from "../../src/testing/mod.ts";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { typeIntoXkb } from "../fixtures/xkb_typist.ts";
import type { GuestProcess } from "./guest_process.ts";
import { startSavedGuest } from "./saved_guest.ts";

/** Reached by a hang alone. */
const timeoutMs = 180_000;
/** What each is known to type, direct, by AltGr and by dead keys, small and capital; and what it cannot. */
const TEXTS: Readonly<Record<string, readonly [text: string, refused: string]>> = {
  us: ["user@host ^~`|\\ {[<>]} Zy 'q' \"q\"", "€"],
  de: ["user@host 3 € ^ ° ~ |\\{[]} Zyß äÖü É È â Ê µ", "ñ"],
  "de-nodeadkeys": ["user@host 3 € ^ ° ~ |\\{[]} Zyß äÖü ` ´", "É"],
  fr: ["user@host 3 € ^ ~ |\\{[]} AqZw,;:! éèçàù â Ê ï Ö É À 1234567890", "ñ"],
  gb: ["user@host 3 £ € ^ ~ |\\#'\" é É Zy", "中"],
  es: ["user@host 3 € ^ ~ |\\{[]} ñÑ ç Á é Ü à Ê ¿ ¡", "中"],
  it: ["user@host 3 € ^ |\\{}[] èéçàòù", "中"],
  "us-intl": ["user@host € ^ ~ ' \" é É ñ Ñ ü Ô", "中"],
};

/** The keys that the guest saw since `from`, without their repeats. */
function keysSince(recorder: GuestProcess, from: number): InputRecord[] {
  return recorder.text.slice(from).split("\n").flatMap((line) => {
    const [, code, value] = /^event\d+ 1 (\d+) ([01])$/.exec(line) ?? [];
    return code === undefined ? [] : [keyRecord(Number(code), value === "1")];
  });
}

Deno.test("layouts: a real guest gets the keys that its layout reads as the text", async (t) => {
  const artifacts = await Deno.makeTempDir({ prefix: "vmsig-layouts-" });
  try {
    await using vm = await startSavedGuest({ devices: ["virtio-input"], programs: ["evrec"], ramMiB: 256 });
    const recorder = await vm.agent.start("evrec", "--late");
    await recorder.lineMatching(/^recording/);
    await using daemon = await DaemonProcess.start({
      config: `[[endpoint]]\nname = "vm"\nvmid = 1\nqmp = "${vm.qmpPath}"\nmemory = "none"\n`,
    });
    await using client = await daemon.connect("layouts");
    await until("the VM is up", () => client.roster.get(1 as EndpointId)?.seams.includes("input") === true);
    const { socket } = daemon;
    for (const [layout, [text, refused]] of Object.entries(TEXTS)) {
      await t.step(layout, async () => {
        await using typist = await machine("vm", { socket, artifacts, timeoutMs, layout, trace: "off" });
        const from = recorder.text.length;
        const expected = keyboardLayout(layout).framesOfText(text).flat().length;
        await typist.type(text);
        await until("the keys are there", () => keysSince(recorder, from).length >= expected, timeoutMs);
        const keys = keysSince(recorder, from);
        assertEquals(typeIntoXkb(layout, [keys]), text);
        assertEquals(keys.length, expected);
        // Of a text that it cannot type it types nothing: what comes next is the next text alone.
        const fault = await assertRejects(() => typist.type(`begun ${refused}`), Fault);
        assertEquals(fault.code, "bad-argument");
        assertStringIncludes(fault.message, `"${refused}"`);
        const later = recorder.text.length;
        await typist.type("x");
        await until("the key is there", () => keysSince(recorder, later).length >= 2, timeoutMs);
        assertEquals(typeIntoXkb(layout, [keysSince(recorder, later)]), "x");
        assertEquals((await client.held("vm")).entries, []);
      });
    }
  } finally {
    await Deno.remove(artifacts, { recursive: true });
  }
});
