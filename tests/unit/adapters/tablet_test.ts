import { assertEquals, assertMatch } from "@std/assert";
import { tabletLack } from "../../../src/adapters/input/tablet.ts";

const ps2 = { name: "QEMU PS/2 Mouse", index: 2, absolute: false, current: false };
const usb = { name: "QEMU HID Tablet", index: 3, absolute: true, current: false };
const mouse = { name: "QEMU HID Mouse", index: 4, absolute: false, current: false };
const first = <T extends object>(device: T) => ({ ...device, current: true });

Deno.test("a tablet that the guest has begun to use takes absolute motion, in whichever order QEMU tells its list", () => {
  for (
    const front of [
      [first(usb)],
      [first(usb), ps2],
      [first(usb), mouse, ps2],
      // A mouse that the guest began to use after it.
      [first(mouse), usb, ps2],
      [first(mouse), ps2, usb, { ...ps2, index: 1 }],
    ]
  ) {
    assertEquals(tabletLack(front), "");
    assertEquals(tabletLack(front.toReversed()), "");
  }
  assertEquals(tabletLack([{ absolute: true }]), "", "a QEMU that does not tell which is in front");
});

Deno.test("no tablet, and one that stands behind all that are older, are told with what is there", () => {
  for (const none of [[], [first(ps2)], undefined, {}, [1, null, "x"]]) {
    assertMatch(tabletLack(none), /no tablet.*virtio-tablet-pci/);
  }
  for (const idle of [[first(ps2), usb], [first(ps2), usb, mouse]]) {
    assertMatch(tabletLack(idle), /does not use its tablet.*QEMU PS\/2 Mouse/);
    assertMatch(tabletLack(idle.toReversed()), /does not use its tablet/);
  }
});
