/**
 * The page of `vmsig web` for who sees badly, uses no mouse, or has a phone: each control has a name, each
 * text a contrast of 4.5 to 1 in both themes, nothing is wider than the window, and everything can be done by
 * keyboard alone.
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Page } from "playwright-core";
import { Asks } from "../../src/client/asks.ts";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { faintOf, namelessOf, sidewaysOf, tabTo } from "../fixtures/page_checks.ts";
import { startBrowser, WebCommand } from "../fixtures/web_command.ts";
import { VgaGuest } from "./vga_guest.ts";

/** Reached by a hang alone. */
const timeout = 360_000;

/** Looks at the page as it is: names once, contrast in both themes, width as a phone has it and as a desk. */
async function look(page: Page, what: string): Promise<void> {
  assertEquals(await namelessOf(page), [], `${what}: without a name`);
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    assertEquals(await faintOf(page), [], `${what}, ${colorScheme}: too faint`);
  }
  for (const [width, height] of [[360, 740], [1280, 800]] as const) {
    await page.setViewportSize({ width, height });
    assertEquals(await sidewaysOf(page), 0, `${what}: wider than ${width}`);
  }
}

const says = (page: Page, selector: string, hasText: RegExp) =>
  page.locator(selector, { hasText }).first().waitFor({ timeout });

Deno.test("web: names, contrast, a phone's width, and everything by keyboard", async () => {
  const dir = await Deno.makeTempDir({ prefix: "vmsig-access-" });
  try {
    await using guest = await VgaGuest.start({
      qmpSockets: 2,
      extraArgs: [
        ...["-chardev", `socket,id=com2,path=${dir}/com2.sock,server=on,wait=off`],
        ...["-device", "isa-serial,chardev=com2,index=1"],
      ],
    });
    await guest.setMode({ width: 640, height: 480, bits: 32 });
    await guest.fill(3, 64);
    await using daemon = await DaemonProcess.start({
      folder: dir,
      config: `[[endpoint]]\nname = "one"\nqmp = "${guest.vm.qmpPaths[0]}"\nmemory = "none"\n` +
        `[[endpoint]]\nname = "away-${"x".repeat(26)}"\nqmp = "${dir}/nobody.qmp"\n`,
    });
    await using client = await daemon.connect("automation");
    await until(
      "the VM is up",
      () => client.roster.list().some(({ name, seams }) => name === "one" && seams.includes("frame")),
    );
    await using command = new WebCommand(daemon);
    const link = await command.link();
    const browser = await startBrowser();
    try {
      const page = await (await browser.newContext()).newPage();
      page.setDefaultTimeout(timeout);

      // In, by the token alone.
      await page.goto(new URL(link).origin);
      await says(page, "h1", /Log in/);
      await page.keyboard.type("not a token of anybody\n");
      await says(page, "#login-fault", /not valid/);
      await look(page, "log in");
      await page.locator("#token").fill("");
      await page.keyboard.type(link);
      await page.keyboard.press("Enter");
      await page.waitForSelector(".card img:not([hidden])");
      await look(page, "all VMs");
      assertMatch(
        await page.locator("body").ariaSnapshot(),
        /banner:[^]*link "All VMs"[^]*navigation "Pages"[^]*button "Log out"[^]*main:[^]*heading "VMs" \[level=1\][^]*link "[^"]*one running/,
      );

      // To the VM, and its keyboard.
      await tabTo(page, '.card[href="#/vm/one"]');
      await page.keyboard.press("Enter");
      await says(page, "#seat", /You are looking/);
      await look(page, "one VM, looked at");
      {
        await using lease = await client.acquire("one", "input", { message: "the nightly tests" });
        await says(page, "#vm-owner", /nightly tests/);
        await tabTo(page, "#take");
        await page.keyboard.press("Enter");
        // By the name that the page's header has for them.
        await says(page, "#seat.refused", /, automation has keyboard and mouse/);
        await look(page, "one VM, refused");
        assert(lease.owned);
      }
      await until("it is free", async () => !(await client.leaseStatus("one", "input")).busy);
      await tabTo(page, "#why");
      await page.keyboard.type("a look");
      await tabTo(page, "#take");
      await page.keyboard.press("Enter");
      await says(page, "#seat.mine", /You have keyboard and mouse/);
      await look(page, "one VM, taken over");
      // What is pressed goes to the VM, Tab as well, until the way out.
      await page.keyboard.down("Tab");
      await until("Tab is down", async () => (await client.held("one")).entries.length > 0);
      await page.keyboard.up("Tab");
      await until("Tab is up", async () => (await client.held("one")).entries.length === 0);
      // Whatever is down when the page is left for is released, though the screen does not see it come up.
      await page.keyboard.down("x");
      await until("x is down", async () => (await client.held("one")).entries.length > 0);
      await page.keyboard.press("Control+Alt+Shift");
      await until("the page has the keyboard", () => page.evaluate("document.activeElement.id === 'take'"));
      await until("nothing is down", async () => (await client.held("one")).entries.length === 0);
      await page.keyboard.up("x");

      // Each panel opens, is read and closes.
      for (const panel of ["paste", "power", "console", "text", "processes"]) {
        await tabTo(page, `[data-panel=${panel}]`);
        await page.keyboard.press("Enter");
        await page.locator("#panel h2").waitFor({ timeout });
        if (panel === "console") await says(page, "#console-state", /You are reading/);
        if (panel === "text") await says(page, "#panel .fault", /Cannot/);
        if (panel === "processes") await says(page, "#panel .fault", /Cannot/);
        await look(page, panel);
        await page.locator(`[data-panel=${panel}]`).focus();
        if (panel === "power") {
          await tabTo(page, "[data-power=quit]");
          await page.keyboard.press("Enter");
          await says(page, "#sure-title", /End the VM\?/);
          await look(page, "the second look");
          assert(await page.evaluate("document.activeElement.value === 'no'"), "it leaves it by itself");
          await page.keyboard.press("Escape");
          await page.locator("#sure").waitFor({ state: "hidden" });
          assert(await page.evaluate("document.activeElement.dataset.power === 'quit'"), "back where it was");
          await page.locator(`[data-panel=${panel}]`).focus();
        }
        await page.keyboard.press("Enter");
        await page.locator("#panel").waitFor({ state: "hidden" });
      }
      await page.locator("#take").focus();
      await page.keyboard.press("Enter");
      await says(page, "#seat", /Given back/);

      // A question of a model, and the events.
      const asks = await Asks.of(daemon.socket);
      const asked = asks.ask({
        ...{ vm: "one", question: "Go on?", choices: ["yes", "no"], timeoutMs: timeout },
        signal: new AbortController().signal,
      });
      await says(page, "#asks .ask", /Go on\?/);
      await look(page, "a question");
      await tabTo(page, "#asks button");
      await page.keyboard.press("Enter");
      assertEquals((await asked).text, "yes");
      await tabTo(page, 'nav a[href="#/events"]');
      await page.keyboard.press("Enter");
      await says(page, "#lines", /took keyboard and mouse/);
      await look(page, "events");
      await tabTo(page, "#find");
      await page.keyboard.type("link took");
      await says(page, "#found", /^[1-9]\d* of \d+$/);

      // The daemon goes: it is told above everything.
      await client.close();
      await daemon[Symbol.asyncDispose]();
      await says(page, "#banner", /The daemon is away/);
      await look(page, "the daemon is away");
      await tabTo(page, "#leave");
      await page.keyboard.press("Enter");
      await says(page, "h1", /Log in/);
    } finally {
      await browser.close();
    }
    assertEquals(await command.end(), 130);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
