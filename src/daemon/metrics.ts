/**
 * The daemon's metrics in Prometheus' text format (version 0.0.4), read from the core's own counters on
 * request.
 * @module
 */
import type { SocketListener } from "../controls/socket/socket_listener.ts";
import type { Core } from "../core/core.ts";
import type { Loop } from "../core/loop.ts";
import { LEASE_CLASS, LEASE_CLASS_NAMES } from "../event/body_number.ts";
import { DIR } from "../event/defaults.ts";
import { kindName } from "../event/kind.ts";
import { type Source, SOURCE_MAX, sourceName } from "../event/source.ts";

/** Makes a page of metrics. */
class Page {
  #text = "";

  head(name: string, type: "counter" | "gauge" | "histogram", help: string): void {
    this.#text += `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
  }

  value(name: string, labels: Readonly<Record<string, string>>, value: number): void {
    const shown = Object.entries(labels).map(([key, text]) => `${key}="${escaped(text)}"`).join(",");
    this.#text += `${name}${shown === "" ? "" : `{${shown}}`} ${value}\n`;
  }

  get text(): string {
    return this.#text;
  }
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

/** A page with all metrics. */
export function renderMetrics(core: Core, loop: Loop, listener: SocketListener): string {
  const page = new Page();
  renderEvents(page, core);
  renderEndpoints(page, core);
  renderControls(page, listener);
  renderTurns(page, loop);
  renderFaults(page, loop);
  return page.text;
}

function renderEvents(page: Page, core: Core): void {
  page.head("vmsig_events_total", "counter", "Events that left the context upwards, by kind.");
  core.fanOut.delivered.forEach((count, kind) => {
    if (count > 0) page.value("vmsig_events_total", { kind: kindName(kind) }, count);
  });
  const { submitted, delivered, coalesced, dropped, blocked } = core.bus.context.counters;
  page.head("vmsig_context_total", "counter", "What the transfer context did with events, both directions.");
  for (const [what, count] of Object.entries({ submitted, delivered, coalesced, dropped, blocked })) {
    page.value("vmsig_context_total", { what }, count);
  }
  page.head("vmsig_lane_depth", "gauge", "Events that wait in the context, by lane.");
  for (let source = 1; source < SOURCE_MAX; source++) {
    for (const dir of [DIR.UP, DIR.DOWN]) {
      const labels = { source: sourceName(source), dir: dir === DIR.UP ? "up" : "down" };
      page.value("vmsig_lane_depth", labels, core.bus.context.depth(source as Source, dir));
    }
  }
  page.head("vmsig_commands_open", "gauge", "Commands that are not answered yet.");
  page.value("vmsig_commands_open", {}, core.bus.ledger.count);
  page.head("vmsig_audit_entries_total", "counter", "Audit entries, those that were left out included.");
  page.value("vmsig_audit_entries_total", {}, core.audit.entries);
  page.head(
    "vmsig_audit_left_out_total",
    "counter",
    "Audit entries left out because a user's refusals exceeded its share.",
  );
  page.value("vmsig_audit_left_out_total", {}, core.audit.leftOut);
}

function renderEndpoints(page: Page, core: Core): void {
  page.head("vmsig_seam_up", "gauge", "Whether a seam of an endpoint is up.");
  for (const slot of core.endpoints()) {
    for (let source = 1; source < SOURCE_MAX; source++) {
      if (slot.adapters[source] === null) continue;
      const labels = { endpoint: slot.name, seam: sourceName(source).toLowerCase() };
      page.value("vmsig_seam_up", labels, (slot.seams >>> source) & 1);
    }
  }
  page.head("vmsig_lease_held", "gauge", "Whether a lease is owned.");
  for (const slot of core.endpoints()) {
    for (const cls of Object.values(LEASE_CLASS)) {
      const held = core.leases.ownerOf(slot.id, cls) !== null;
      page.value(
        "vmsig_lease_held",
        { endpoint: slot.name, class: LEASE_CLASS_NAMES[cls] ?? "" },
        held ? 1 : 0,
      );
    }
  }
}

function renderControls(page: Page, listener: SocketListener): void {
  page.head("vmsig_controls", "gauge", "Controls on the socket.");
  page.value("vmsig_controls", {}, listener.controls.size);
  page.head("vmsig_greeting_peers", "gauge", "Peers on the socket that have not sent HELLO yet.");
  page.value("vmsig_greeting_peers", {}, listener.waiting);
  page.head("vmsig_refused_peers_total", "counter", "Peers that were refused at the socket.");
  page.value("vmsig_refused_peers_total", {}, listener.refused);
  page.head(
    "vmsig_accept_shortages_total",
    "counter",
    "Peers that were refused because the daemon had no free descriptor.",
  );
  page.value("vmsig_accept_shortages_total", {}, listener.shortages);
  page.head("vmsig_queue_depth_max", "gauge", "The longest queue of a control.");
  let longest = 0;
  for (const control of listener.controls.keys()) longest = Math.max(longest, control.queued);
  page.value("vmsig_queue_depth_max", {}, longest);
}

function renderFaults(page: Page, { faults }: Loop): void {
  const name = "vmsig_contained_faults_total";
  page.head(name, "counter", "Faults that were contained to one peer, seam or task; 0 in normal operation.");
  for (const [place, count] of faults.counts) page.value(name, { place }, count);
}

function renderTurns(page: Page, { turns, priority }: Loop): void {
  const name = "vmsig_loop_turn_seconds";
  page.head(name, "histogram", "How long the loop's turns took.");
  let seen = 0;
  turns.counts.forEach((count, bucket) => {
    seen += count;
    // From 1 us to 4 s: durations outside are counted in the outermost buckets.
    if (bucket >= 10 && bucket <= 32) page.value(`${name}_bucket`, { le: `${2 ** bucket / 1e9}` }, seen);
  });
  page.value(`${name}_bucket`, { le: "+Inf" }, seen);
  page.value(`${name}_sum`, {}, turns.sumNs / 1e9);
  page.value(`${name}_count`, {}, seen);
  page.head(`${name}_max`, "gauge", "The longest turn so far.");
  page.value(`${name}_max`, {}, turns.maxNs / 1e9);
  page.head("vmsig_loop_late_turns_total", "counter", "Turns of the loop that took longer than 5 ms.");
  page.value("vmsig_loop_late_turns_total", {}, turns.late);
  page.head("vmsig_loop_realtime", "gauge", "Whether the loop's thread is scheduled as realtime.");
  page.value("vmsig_loop_realtime", {}, priority?.realtime === true ? 1 : 0);
}
