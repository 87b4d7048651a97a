/**
 * A part of a thread that is loaded when it is needed: once, in order, and never after its end.
 * @module
 */
import { assertEquals } from "@std/assert";
import { LatePart } from "../../../src/daemon/late_part.ts";

/** A part that notes what happens to it. */
class Part implements Disposable {
  readonly seen: string[];
  constructor(seen: string[]) {
    this.seen = seen;
  }
  [Symbol.dispose](): void {
    this.seen.push("disposed");
  }
}

function partOf(): { late: LatePart<Part>; seen: string[]; arrive: () => void; loads: () => number } {
  const seen: string[] = [];
  const gate = Promise.withResolvers<void>();
  let loads = 0;
  const late = new LatePart(async () => {
    loads++;
    await gate.promise;
    return new Part(seen);
  }, (message) => seen.push(`failed: ${message}`));
  return { late, seen, arrive: gate.resolve, loads: () => loads };
}

/** Until all that a settled promise leads to has happened. */
const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

Deno.test("it is loaded once, when it is first needed, and calls keep their order", async () => {
  const { late, seen, arrive, loads } = partOf();
  assertEquals([loads(), late.present, late.loading, late.isAbsent], [0, undefined, undefined, true]);
  late.do((part) => part.seen.push("a"));
  late.do((part) => {
    part.seen.push("b");
    late.do(() => seen.push("from within b"));
  });
  late.do((part) => part.seen.push("c"));
  assertEquals([loads(), seen, late.isAbsent], [1, [], false]);
  const { loading } = late;
  arrive();
  await loading;
  assertEquals([late.loading, late.present !== undefined], [undefined, true]);
  await settled();
  assertEquals(seen.toSorted(), ["a", "b", "c", "from within b"]);
  assertEquals(seen.filter((each) => each.length === 1), ["a", "b", "c"]);
  late.do((part) => part.seen.push("d"));
  assertEquals([seen.at(-1), loads()], ["d", 1]);
  late[Symbol.dispose]();
  assertEquals(seen.at(-1), "disposed");
});

Deno.test("one that has ended is not loaded, nor called; one that comes too late is put away", async () => {
  const never = partOf();
  never.late[Symbol.dispose]();
  never.late.do(() => never.seen.push("called"));
  assertEquals([never.loads(), never.seen], [0, []]);
  const { late, seen, arrive } = partOf();
  late.do(() => seen.push("called"));
  late[Symbol.dispose]();
  arrive();
  await settled();
  assertEquals(seen, ["disposed"]);
});

Deno.test("what cannot be loaded is told once, and so is what a call that waited threw", async () => {
  const told: string[] = [];
  const broken = new LatePart<Part>(() => Promise.reject(new Error("no such module")), (m) => told.push(m));
  broken.do(() => told.push("called"));
  broken.do(() => told.push("called"));
  await settled();
  // Nobody waits for it any more.
  assertEquals([told, broken.loading], [["no such module"], undefined]);
  const { late, seen, arrive } = partOf();
  late.do(() => {
    throw new Error("a call");
  });
  arrive();
  await settled();
  assertEquals(seen, ["failed: a call"]);
});
