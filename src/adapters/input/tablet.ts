/**
 * Whether absolute motion reaches the guest, according to query-mice: QEMU accepts it as soon as there is a
 * tablet, and silently drops it if the guest does not read that tablet.
 *
 * QEMU keeps its pointing devices in a list, in order of creation (`index`), and moves one to the front when
 * the guest begins to use it: a USB tablet when it is polled, a virtio one when its driver runs. `current` is
 * the first one. So a tablet behind all devices older than itself was never moved. If a tablet is the only
 * pointer, this cannot be seen.
 * @module
 */
import { isObject } from "../../qemu/protocol/qmp_message.ts";

interface Pointer {
  readonly name: string;
  readonly index: number;
  readonly isTablet: boolean;
  readonly isCurrent: boolean;
}

/**
 * Why absolute motion would not reach the guest; empty if it does, or nothing indicates otherwise.
 *
 * @param value what query-mice returned, unchecked
 */
export function tabletLack(value: unknown): string {
  const pointers = frontFirst((Array.isArray(value) ? value : []).filter(isObject).map(pointerOf));
  const places = pointers.flatMap(({ isTablet }, place) => isTablet ? [place] : []);
  if (places.length === 0) {
    return "the VM has no tablet: start QEMU with -device virtio-tablet-pci, or -usb -device usb-tablet";
  }
  if (places.some((place) => isUsed(pointers, place))) return "";
  const current = pointers[0]?.name ?? "";
  return `the guest does not use its tablet${
    current === "" ? "" : ` (its pointer is ${current})`
  }: no driver reads it`;
}

/** QEMU 7.2 returns the list from its end. */
function frontFirst(pointers: Pointer[]): Pointer[] {
  return pointers.at(-1)?.isCurrent === true ? pointers.reverse() : pointers;
}

function isUsed(pointers: readonly Pointer[], place: number): boolean {
  const tablet = pointers[place] as Pointer;
  if (place === 0 || !pointers.some(({ isCurrent }) => isCurrent)) return true;
  return pointers.slice(place + 1).some(({ index }) => index < tablet.index);
}

function pointerOf(mouse: Readonly<Record<string, unknown>>): Pointer {
  const { name, index, absolute, current } = mouse;
  return {
    name: typeof name === "string" ? name : "",
    index: typeof index === "number" ? index : 0,
    isTablet: absolute === true,
    isCurrent: current === true,
  };
}
