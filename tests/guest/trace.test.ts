/**
 * The trace that a failing test leaves, one of `vmsig record --trace` and one of `vmsig mcp --trace`: each
 * becomes a page that opens from disk in Chromium, with the screen at every action, events, console and
 * processes beside it.
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import type { Browser, Page } from "playwright-core";
import { machine, MachineFault, type ScratchMachine } from "../../src/testing/mod.ts";
import { decodeRecording } from "../../src/event/recording.ts";
import { until, vmsig } from "../fixtures/daemon_process.ts";
import { startBrowser } from "../fixtures/web_command.ts";
import { Model } from "./mcp_sdk.ts";
import { scratchDemo } from "./scratch_demo.ts";

/** Reached by a hang alone. */
const timeoutMs = 300_000;
const MAIN = new URL("../../main.ts", import.meta.url).pathname;

Deno.test("trace: a failing test's trace, and a recording's, as pages in Chromium", async (t) => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-trace-" });
  try {
    await using scratch = await scratchDemo({ timeoutMs, artifacts: folder });
    await scratch.machine.console.expect(/Linux version/);
    await scratch.machine.screen.text("guest#");
    await t.step("a test that fails leaves one, a good one none", () => failing(scratch, folder));
    await t.step("record --trace, beside another control's work", () => recorded(scratch, folder));
    await t.step("mcp --trace: a model's calls are its actions", () => modelled(scratch, folder));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

async function failing({ socket }: ScratchMachine, artifacts: string): Promise<void> {
  // Without a word of it: this is what every test has.
  const options = { socket, artifacts, timeoutMs } as const;
  {
    await using vm = await machine("scratch", options);
    await vm.type("echo went well\n");
    await vm.screen.text(/^went well$/m);
  }
  const traces = () => [...Deno.readDirSync(artifacts)].filter(({ name }) => name.endsWith(".vmsig"));
  assertEquals(traces(), []);
  // An assertion of the test's own in a step is a failure like any other; "off" leaves the screen alone.
  for (const trace of ["on-failure", "off"] as const) {
    const before = traces().length;
    {
      await using vm = await machine("scratch", { ...options, trace });
      const failing = () => vm.step("one is two", () => Promise.resolve(assertEquals(1, 2)));
      const error = await assertRejects(failing, Error);
      assertMatch(error.message, /not equal[\s\S]*the screen is in \S+\.png/);
    }
    assertEquals(traces().length, before + (trace === "off" ? 0 : 1));
  }
  let fault: MachineFault | undefined;
  {
    await using vm = await machine("scratch", options);
    await vm.type("echo </script> & <b>\n");
    await vm.screen.text("<b>");
    await vm.type("echo second\n");
    await vm.screen.text(/^second$/m);
    fault = await assertRejects(
      () => vm.screen.text("never there", { timeoutMs: 300 }),
      MachineFault,
    ) as MachineFault;
  }
  assertStringIncludes(fault.message, "vmsig trace");
  const file = fault.traceFile ?? "";
  const page = `${artifacts}/failed.html`;
  const { code, text, errors } = await vmsig(["trace", file, "-o", page]);
  assertEquals(code, 0, errors);
  assertMatch(text, /6 actions, \d+ events, \d+ pictures/);
  assertEquals((await Deno.stat(page)).mode! & 0o777, 0o600);
  await shown(page, async (tab) => {
    const actions = await tab.locator("#actions li").allTextContents();
    // The five steps, and that the test had the keyboard.
    assertEquals(actions.length, 6, actions.join("\n"));
    // It begins with the step that failed.
    const current = await tab.locator("#actions li[aria-current]").textContent();
    assertMatch(current ?? "", /never there.*timed-out|never there/s);
    assert(await tab.locator("#actions li.bad").count() === 1);
    await painted(tab);
    const failed = await inkOf(tab, "#after");
    // The screen before the first action is another one than after the last.
    await tab.locator("#actions li").nth(0).click();
    await painted(tab);
    const before = await inkOf(tab, "#before");
    assert(before > 0 && failed > before, `${before} then ${failed} lit pixels`);
    await tab.locator("#search").fill("second");
    assertEquals(await tab.locator("#actions li").count(), 2);
    await tab.locator("#search").fill("");
    await tab.getByRole("tab", { name: "Processes" }).click();
    assertMatch((await tab.locator("#lines").textContent()) ?? "", /\d+ processes/);
    assert(await tab.locator("#strip button").count() > 0);
    const shot = Deno.env.get("VMSIG_TRACE_SHOT");
    if (shot !== undefined) await tab.screenshot({ path: shot });
  });
}

/** How many pictures a file has that is being written. */
function picturesIn(file: string): number {
  try {
    return [...decodeRecording(Deno.readFileSync(file))]
      .filter((item) => item.type === "event" && item.event.picture !== undefined).length;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}

async function recorded({ socket }: ScratchMachine, artifacts: string): Promise<void> {
  const file = `${artifacts}/run.vmsig`;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", MAIN, "record", "--trace", file, "--socket", socket],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  await until("its first picture", () => picturesIn(file) > 0);
  const before = picturesIn(file);
  assertEquals((await vmsig(["type", "scratch", "echo recorded\n", "--socket", socket])).code, 0);
  assertEquals((await vmsig(["wait", "scratch", "--text", "^recorded$", "--socket", socket])).code, 0);
  // Another control has seen it; the recorder may be behind.
  await until("a picture of what was typed", () => picturesIn(file) > before);
  child.kill("SIGINT");
  const { stdout, stderr } = await child.output();
  assertMatch(new TextDecoder().decode(stdout), /\d+ events, \d+ pictures/, new TextDecoder().decode(stderr));
  const page = `${artifacts}/run.html`;
  const gif = `${artifacts}/run.gif`;
  const made = await vmsig(["trace", file, "-o", page, "--gif", gif]);
  assertEquals(made.code, 0, made.errors);
  assertEquals(new TextDecoder().decode(Deno.readFileSync(gif).subarray(0, 6)), "GIF89a");
  await shown(page, async (tab) => {
    const actions = await tab.locator("#actions").textContent();
    assertMatch(actions ?? "", /uid \d+ has input/);
    assert(await inkOf(tab, "#after") > 0);
    assertMatch((await tab.locator("#lines").textContent()) ?? "", /LEASE_GRANTED|AUDIT/);
  });
  const mp4 = await vmsig(["trace", file, "--mp4", `${artifacts}/run.mp4`]);
  const hasFfmpeg = await Deno.stat("/usr/bin/ffmpeg").then(() => true, () => false);
  if (hasFfmpeg) {
    assertEquals(mp4.code, 0, mp4.errors);
    // Both are films for whoever plays films: of the screen's size, with more than one picture.
    for (const [film, width] of [[gif, 720], [`${artifacts}/run.mp4`, 720]] as const) {
      const probe = await new Deno.Command("ffprobe", {
        args: [
          "-v",
          "error",
          "-count_frames",
          "-show_entries",
          "stream=width,nb_read_frames",
          "-of",
          "json",
          film,
        ],
      }).output();
      const { streams } = JSON.parse(new TextDecoder().decode(probe.stdout));
      assertEquals([streams.length, streams[0].width], [1, width], new TextDecoder().decode(probe.stderr));
      assert(Number(streams[0].nb_read_frames) > 1, film);
    }
  } else {
    assertEquals(mp4.code, 3);
    assertStringIncludes(mp4.errors, "apt-get install ffmpeg");
  }
}

async function modelled({ socket }: ScratchMachine, artifacts: string): Promise<void> {
  const file = `${artifacts}/model.vmsig`;
  const vm = "scratch";
  {
    await using model = await Model.onStdio(["--socket", socket, "--trace", file]);
    await model.good("list_vms");
    await model.good("type", { vm, text: `echo seen by a model${" ".repeat(400)}\n` });
    await model.good("wait", { vm, text: "^seen by a model", timeout_s: 300 });
    await model.good("screenshot", { vm });
    const refused = await model.call("click", { vm, coordinate: [5000, 5] });
    assertEquals(refused.isError, true);
  }
  assertEquals((await Deno.stat(file)).mode! & 0o777, 0o600);
  const page = `${artifacts}/model.html`;
  const { code, errors } = await vmsig(["trace", file, "-o", page]);
  assertEquals(code, 0, errors);
  await shown(page, async (tab) => {
    const actions = await tab.locator("#actions li").allTextContents();
    const one = (what: RegExp) => assert(actions.some((line) => what.test(line)), actions.join("\n"));
    one(/list_vms.*"scratch"/);
    // What is long is shortened.
    one(/type text="echo seen by a model.*… \(\d+ characters\)/);
    one(/wait text="\^seen by a model" timeout_s=300.*"what":"text"/);
    one(/screenshot.*\(image\/png\).* Text on the screen: /);
    one(/click coordinate=\[5000,5\].*bad-argument: /);
    // It begins with the call that failed; its picture is there.
    assertMatch((await tab.locator("#actions li[aria-current]").textContent()) ?? "", /click/);
    assert(await inkOf(tab, "#after") > 0);
    await tab.locator("#search").fill("list_vms");
    assertEquals(await tab.locator("#actions li").count(), 1);
    const shot = Deno.env.get("VMSIG_TRACE_SHOT");
    if (shot !== undefined) {
      await tab.locator("#search").fill("");
      await tab.screenshot({ path: `${shot}.model.png` });
    }
  });
}

/** Opens a page from disk; it may ask for nothing and complain of nothing. */
async function shown(path: string, look: (tab: Page) => Promise<void>): Promise<void> {
  const browser = await startBrowser();
  try {
    await lookInto(browser, path, look);
  } finally {
    await browser.close();
  }
}

async function lookInto(browser: Browser, path: string, look: (tab: Page) => Promise<void>): Promise<void> {
  const tab = await browser.newPage({ viewport: { width: 1400, height: 900 } });
  const asked: string[] = [];
  const complaints: string[] = [];
  tab.on("request", (request) => {
    if (!/^(file|data|blob):/.test(request.url())) asked.push(request.url());
  });
  tab.on("pageerror", (error) => complaints.push(String(error)));
  tab.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  await tab.goto(`file://${path}`);
  await painted(tab);
  await look(tab);
  assertEquals(asked, []);
  assertEquals(complaints, []);
}

/** The page's own policy lets nothing evaluate a text, so that this looks from outside. */
async function painted(tab: Page): Promise<void> {
  while (!await tab.evaluate("document.body.dataset.painted === String(painting)")) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** How many pixels of a canvas are lit. */
async function inkOf(tab: Page, canvas: string): Promise<number> {
  return await tab.evaluate(`(() => {
    const canvas = document.querySelector("${canvas}");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let lit = 0;
    for (let i = 0; i < data.length; i += 4) if (data[i] + data[i + 1] + data[i + 2] > 200) lit++;
    return lit;
  })()`) as number;
}
