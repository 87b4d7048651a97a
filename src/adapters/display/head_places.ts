/**
 * Which number each head of a VM has. A number stays with its device for as long as the monitor is up: a
 * device that is removed leaves its number to nobody, or to a device that is added later. So a viewer of one
 * device is never shown another one's picture.
 * @module
 */
import { MAX_HEADS } from "../../base/limits.ts";
import type { DisplayHead, HeadPlaces } from "./display_facts.ts";

/** The heads that are there now, each where it was before; what is new fills what is free. */
export function keepPlaces(before: HeadPlaces, now: readonly DisplayHead[]): HeadPlaces {
  const left = [...now];
  const places = before.map((head) => {
    const at = head === undefined ? -1 : left.findIndex((each) => isSameHead(each, head));
    return at < 0 ? undefined : left.splice(at, 1)[0];
  });
  for (const head of left) {
    const free = places.indexOf(undefined);
    if (free >= 0) places[free] = head;
    else if (places.length < MAX_HEADS) places.push(head);
  }
  while (places.length > 0 && places.at(-1) === undefined) places.pop();
  return places;
}

/** The numbers whose device is not the one that it was. */
export function changedPlaces(before: HeadPlaces, after: HeadPlaces): number[] {
  const numbers: number[] = [];
  before.forEach((head, number) => {
    if (head !== undefined && !isSameHead(head, after[number])) numbers.push(number);
  });
  return numbers;
}

function isSameHead(a: DisplayHead, b: DisplayHead | undefined): boolean {
  return b !== undefined && a.path === b.path && a.deviceHead === b.deviceHead;
}
