/** An endpoint that is not there: who is, and which one was meant. */
import { assertEquals } from "@std/assert";
import type { EndpointId } from "../../../src/base/ids.ts";
import { RosterView } from "../../../src/client/roster_view.ts";

function roster(...names: string[]): RosterView {
  const view = new RosterView();
  names.forEach((name, i) =>
    view.put({ endpoint: i as EndpointId, name, state: "up", seams: [], pid: 0, vmid: 0 })
  );
  return view;
}

Deno.test("roster: another user's VM by its manager's name, and a mistyped name, are told as what was meant", () => {
  const view = roster("web@64055", "db", "db@64055");
  const told = (ref: string | number) => view.unknown(ref).message;
  const there = "there are: 0 web@64055, 1 db, 2 db@64055";
  assertEquals(told("web"), `Cannot find endpoint web: ${there} (did you mean web@64055?)`);
  assertEquals(told("wbe@64055"), `Cannot find endpoint wbe@64055: ${there} (did you mean web@64055?)`);
  assertEquals(told("mail"), `Cannot find endpoint mail: ${there}`);
  assertEquals(told(7), `Cannot find endpoint 7: ${there}`);
  // Which user's is not guessed.
  assertEquals(roster("web@1", "web@2").unknown("web").message.includes("did you mean"), false);
});
