/** The list of seams, and what follows from it. */
import { assertEquals, assertThrows } from "@std/assert";
import { makeStubAdapters } from "../../../src/adapters/stub/stub_adapters.ts";
import { type AnySeam, CLOSING_ORDER, isSeam, seamFaults, SEAMS } from "../../../src/adapters/seams.ts";
import { parseEndpointTable } from "../../../src/daemon/config.ts";
import { SOURCE } from "../../../src/event/source.ts";

/** An entry that is in order beside one of INPUT alone. */
const ENTRY: AnySeam = {
  name: "memctx",
  source: SOURCE.MEMCTX,
  closing: 2,
  read: () => ({}),
  ofFound: () => ({ memory: "auto" }),
};
const [, INPUT] = SEAMS as readonly AnySeam[] as readonly [AnySeam, AnySeam];

Deno.test("seams: what is wrong with an entry is told by its name", () => {
  const cases: [Partial<AnySeam>, string][] = [
    [{ name: "vmhost" }, "vmhost: its source is called MEMCTX"],
    [{ name: "core", source: SOURCE.CORE }, "core: no adapter has source 4"],
    [{ name: "none", source: SOURCE.NONE }, "none: no adapter has source 0"],
    [{ name: "input", source: SOURCE.INPUT }, "input: source 2 is taken by input"],
    [{ closing: 0 }, "memctx: has no place in the closing order: 0"],
    [{ closing: 1.5 }, "memctx: has no place in the closing order: 1.5"],
    [{ closing: NaN }, "memctx: has no place in the closing order: NaN"],
    [{ closing: 1 }, "memctx: place in the closing order 1 is taken by input"],
    [{ ofFound: () => ({ input: "qmp" }) }, "memctx: config key input is taken by input"],
    [{ ofFound: () => ({ qmp: "/x" }) }, "memctx: config key qmp is taken by every endpoint"],
  ];
  assertEquals(seamFaults(SEAMS), []);
  assertEquals(seamFaults([INPUT, ENTRY]), []);
  for (const [part, fault] of cases) assertEquals(seamFaults([INPUT, { ...ENTRY, ...part }]), [fault]);
});

Deno.test("seams: keys are released before the monitor goes, and the memory's end is told before the VM's", () => {
  assertEquals(CLOSING_ORDER, [
    SOURCE.INPUT,
    SOURCE.MEMCTX,
    SOURCE.VMHOST,
    SOURCE.FRAME,
    SOURCE.CONSOLE,
    SOURCE.AGENT,
  ]);
  // The monitor tells them in this order: the memory is invalid before anybody hears of a reset.
  assertEquals(SEAMS.map(({ name }) => name), ["memctx", "input", "vmhost", "frame", "console", "agent"]);
  assertEquals([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, -1].filter(isSeam), [1, 2, 5, 6, 7, 8]);
});

Deno.test("seams: their keys are an endpoint's in the config, and the example tells of each", () => {
  const example = Deno.readTextFileSync(new URL("../../../config/vmsigd.toml", import.meta.url));
  const table = example.slice(example.indexOf("# [[endpoint]]"), example.indexOf("# [[admission]]"));
  const endpoint = parseEndpointTable('name = "web"\nqmp = "/run/web.sock"', "web.toml");
  for (const seam of SEAMS) {
    const keys = Object.keys(seam.ofFound({ hasMemory: true }));
    for (const key of keys) {
      assertEquals(key in endpoint, true, `${seam.name} reads ${key}`);
      assertEquals(table.includes(`\n# ${key} = `), true, `config/vmsigd.toml tells of ${key}`);
    }
  }
  assertEquals(endpoint, {
    name: "web",
    vmid: 0,
    qmp: "/run/web.sock",
    memory: "auto",
    guest: "auto",
    input: "qmp",
    display: "auto",
    console: "auto",
    agent: "auto",
  });
  assertThrows(
    () => parseEndpointTable('name = "a"\nmemroy = "auto"', "a.toml"),
    Error,
    "memroy: there is no such key",
  );
});

Deno.test("seams: a stub endpoint has those that need no VM", () => {
  const sources = (rateHz: number) => makeStubAdapters(rateHz).map(({ source }) => source);
  assertEquals(sources(0), [SOURCE.INPUT, SOURCE.VMHOST]);
  assertEquals(sources(1), [SOURCE.INPUT, SOURCE.VMHOST, SOURCE.FRAME]);
});
