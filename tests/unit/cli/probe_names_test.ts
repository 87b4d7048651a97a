// Paths of VMs as probe tells programs of them.
import { assertEquals } from "@std/assert";
import { withNames } from "../../../src/client/cli/probe_names.ts";
import type { ProbedVm } from "../../../src/roster/host_probe.ts";

Deno.test("probe --json: paths that differ are told differently, also where they are not UTF-8", () => {
  const path = (name: string): string => {
    const at = `/run/${name}`;
    const { qmp, monitors, calls, viewers, consoles, agent } = JSON.parse(JSON.stringify(withNames(
      {
        qmp: at,
        monitors: [{ path: at, busy: false }],
        calls: [at],
        viewers: [`vnc unix:${at}`],
        consoles: [`serial unix:${at}`],
        agent: `unix:${at}`,
      } as unknown as ProbedVm,
    )));
    const all = [monitors[0].path, calls[0], viewers[0], consoles[0], agent].map((text) =>
      text.slice(text.indexOf("/"))
    );
    assertEquals(new Set([qmp, ...all]).size, 1);
    return qmp;
  };
  assertEquals(path("web.qmp"), "/run/web.qmp");
  assertEquals(path("p\udcff"), "/run/p\\xff");
  assertEquals(path("p\udcfe"), "/run/p\\xfe");
  assertEquals(path("p\\xff"), "/run/p\\\\xff");
  assertEquals(path("new\nline"), "/run/new\\x0aline");
});
