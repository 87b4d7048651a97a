/**
 * The dashboard of config/grafana against a real daemon's page of metrics: what a panel asks for is there,
 * and what is there is on a panel. And the README's way of scraping, run as it stands there.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { takeInput } from "../../../src/client/input_control.ts";
import { DaemonProcess } from "../../fixtures/daemon_process.ts";

const ROOT = new URL("../../../", import.meta.url).pathname;
/** Metrics that no panel shows, each with why. */
const LEFT_OUT: Readonly<Record<string, string>> = {};
/** What Prometheus itself adds to each series. */
const ADDED_LABELS = ["instance", "job"];

interface Place {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: Place;
  readonly datasource?: { readonly type: string; readonly uid: string };
  readonly targets?: readonly {
    readonly expr: string;
    readonly legendFormat: string;
    readonly refId: string;
  }[];
}

interface Dashboard {
  readonly schemaVersion: number;
  readonly uid: string;
  readonly panels: readonly Panel[];
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly definition?: string }[];
  };
}

const dashboard = JSON.parse(Deno.readTextFileSync(`${ROOT}config/grafana/vmsig.json`)) as Dashboard;
const expressions = dashboard.panels.flatMap((panel) => (panel.targets ?? []).map(({ expr }) => expr));

/** The series that a page has, each with the labels that occur; a histogram's under their own names. */
function seriesOf(page: string): Map<string, Set<string>> {
  const series = new Map<string, Set<string>>();
  for (const line of page.split("\n")) {
    const [, name, type] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? [];
    if (name !== undefined) {
      const parts = type === "histogram" ? ["_bucket", "_sum", "_count"] : [""];
      for (const part of parts) series.set(`${name}${part}`, new Set());
    }
    const [, value = "", labels = ""] = /^([a-z_]+)(?:\{(.*)\})? \S+$/.exec(line) ?? [];
    for (const [, label = ""] of labels.matchAll(/(\w+)="/g)) series.get(value)?.add(label);
  }
  return series;
}

/** A daemon with a held lease and some events behind it. */
async function usedPage(): Promise<string> {
  await using daemon = await DaemonProcess.start({ stubs: 1 });
  await using client = await daemon.connect("test");
  await using input = await takeInput(client, "stub0");
  await input.type("a");
  return await daemon.metrics();
}

Deno.test("dashboard: each metric and label that a panel asks for is in a scrape, and each metric is on a panel", async () => {
  const series = seriesOf(await usedPage());
  assert(series.size >= 17, `${[...series.keys()]}`);
  const asked = new Set<string>();
  for (const expr of expressions) {
    const names = [...expr.matchAll(/\bvmsig_[a-z_]+/g)].map(([name]) => name);
    assert(names.length > 0, expr);
    for (const name of names) {
      asked.add(name);
      assert(series.has(name), `${name} of ${expr} is a metric of the daemon`);
      const labels = [...series.get(name)!, ...ADDED_LABELS];
      const groups = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list = ""]) => list.split(/, */));
      const selected = [...expr.matchAll(/(\w+)(?:=~|!~|!=|=)"/g)].map(([, label = ""]) => label);
      // Nothing has gone wrong in this daemon: faults have no series yet.
      if (name === "vmsig_contained_faults_total") labels.push("place");
      for (const label of [...groups, ...selected]) {
        assert(labels.includes(label), `${label} of ${expr} is a label of ${name}: ${labels}`);
      }
    }
  }
  const missing = [...series.keys()].filter((name) => !asked.has(name) && !(name in LEFT_OUT));
  assertEquals(missing, [], "metrics on no panel");
  assertEquals(Object.keys(LEFT_OUT).filter((name) => asked.has(name)), []);
});

Deno.test("dashboard: it is one that Grafana takes: ids, places, data source, variables", () => {
  assertEquals([dashboard.uid, dashboard.schemaVersion], ["vmsig", 42]);
  assertEquals(dashboard.templating.list.map(({ name }) => name), ["datasource", "instance"]);
  const { panels } = dashboard;
  assertEquals(new Set(panels.map(({ id }) => id)).size, panels.length);
  for (const panel of panels) {
    const { x, y, w, h } = panel.gridPos;
    assert(x >= 0 && x + w <= 24 && y >= 0 && w > 0 && h > 0, panel.title);
    const over = panels.filter(({ id, gridPos: other }) =>
      id > panel.id && x < other.x + other.w && other.x < x + w && y < other.y + other.h && other.y < y + h
    );
    assertEquals(over.map(({ title }) => title), [], panel.title);
    if (panel.type === "row") continue;
    assertEquals(panel.datasource, { type: "prometheus", uid: "${datasource}" }, panel.title);
    assert((panel.description ?? "") !== "" && panel.targets!.length > 0, panel.title);
    assertEquals(new Set(panel.targets!.map(({ refId }) => refId)).size, panel.targets!.length);
    for (const { expr } of panel.targets!) {
      for (const [open, close] of ["()", "{}", "[]"]) {
        assertEquals(expr.split(open!).length, expr.split(close!).length, expr);
      }
    }
  }
});

Deno.test("dashboard: the README's way to scrape, as it stands there, brings the page", async () => {
  const readme = Deno.readTextFileSync(`${ROOT}README.md`);
  const [, block = ""] = /\n## Metrics\n.*?^```sh\n(.*?)^```$/ms.exec(readme) ?? [];
  assertStringIncludes(block, "curl ");
  await using daemon = await DaemonProcess.start({ stubs: 1 });
  const collector = await Deno.makeTempDir({ prefix: "vmsig-textfile-" });
  try {
    const lines = block.replaceAll("/run/vmsig", daemon.folder)
      .replaceAll("/var/lib/prometheus/node-exporter", collector);
    const { code, stdout, stderr } = await new Deno.Command("sh", { args: ["-euc", lines] }).output();
    const decoder = new TextDecoder();
    assertEquals([code, decoder.decode(stdout), decoder.decode(stderr)], [0, "", ""]);
    assertEquals([...Deno.readDirSync(collector)].map(({ name }) => name), ["vmsig.prom"]);
    const page = await Deno.readTextFile(`${collector}/vmsig.prom`);
    assert(page.startsWith("# HELP vmsig_events_total ") && page.endsWith("\n"));
    assertStringIncludes(page, "\nvmsig_controls 0\n");
  } finally {
    await Deno.remove(collector, { recursive: true });
  }
});
