/**
 * `vmsig web` with a real browser and a real guest: a person comes in by the link, sees the guest, is refused
 * while an automation has keyboard and mouse, takes them over from one, types, reads the text, gives back,
 * and closes the tab with a key down, which the guest's evdev shows released. And what others get.
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { EndpointId } from "../../src/base/ids.ts";
import type { Page } from "playwright-core";
import { Asks } from "../../src/client/asks.ts";
import { LEASE_CLASS } from "../../src/event/body_number.ts";
import { KIND } from "../../src/event/kind.ts";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { startBrowser, WebCommand } from "../fixtures/web_command.ts";
import { buildRelay, ForeignControl, whyNotOthers } from "../unit/daemon/foreign_control.ts";
import { startSavedGuest } from "./saved_guest.ts";

/** Reached by a hang alone. */
const timeout = 360_000;
const WEAK = 65_531;

/** Waits until an element says something. */
async function says(page: Page, selector: string, pattern: RegExp): Promise<string> {
  const found = page.locator(selector, { hasText: pattern }).first();
  try {
    await found.waitFor({ timeout });
  } catch (error) {
    const all = await page.locator("main").innerText().catch(() => "");
    throw new Error(`${selector} does not say ${pattern}; the page: ${all.slice(0, 500)}`, { cause: error });
  }
  return await found.innerText();
}

Deno.test("web: a person sees, is refused, takes over, types, gives back; a closed tab holds nothing", async () => {
  await using vm = await startSavedGuest({
    append: "quiet console=ttyS0 console=tty0 no_timer_check random.trust_cpu=on",
    devices: ["virtio-input"],
    programs: ["evrec", "console"],
    ramMiB: 256,
    extraArgs: ["-vga", "std"],
  });
  const recorder = await vm.agent.start("evrec");
  await recorder.lineMatching(/^recording/);
  const others = whyNotOthers() === "";
  const rule = (uid: number, prio: number) =>
    `[[admission]]\nuid = ${uid}\nendpoints = ["*"]\ncaps = ["*"]\narb_prio = ${prio}\n`;
  const dir = await Deno.makeTempDir({ prefix: "vmsig-person-" });
  const config = `[[endpoint]]\nname = "vm"\nvmid = 1\nqmp = "${vm.qmpPath}"\ninput = "qmp"\n` +
    `[[endpoint]]\nname = "away"\nqmp = "${dir}/nobody.qmp"\n` + rule(Deno.uid() ?? 0, 20) +
    (others ? rule(WEAK, 5) : "");
  let daemon = await DaemonProcess.start({ config, folder: dir });
  const browser = await startBrowser();
  try {
    const client = await daemon.connect("automation");
    await until("the VM is up", () => client.roster.get(1 as EndpointId)?.seams.includes("frame") === true);
    await using command = new WebCommand(daemon);
    const link = await command.link();
    const page = await (await browser.newContext()).newPage();
    page.setDefaultTimeout(timeout);
    const faults: string[] = [];
    page.on("pageerror", (error) => faults.push(error.message));
    page.on("console", (message) => {
      if (/Content Security Policy|Uncaught/.test(message.text())) faults.push(message.text());
    });
    const elsewhere: string[] = [];
    page.on("request", (request) => {
      const { protocol, host } = new URL(request.url());
      if (/^http/.test(protocol) && host !== new URL(link).host) elsewhere.push(request.url());
    });

    // In by the link, once; the secret leaves the address.
    await page.goto(link);
    await page.waitForSelector(".card img:not([hidden])");
    assertEquals(new URL(page.url()).hash, "");
    assert(await page.locator("nav").isVisible());
    const [cookie] = await page.context().cookies();
    assertEquals([cookie?.httpOnly, cookie?.sameSite], [true, "Strict"]);
    const stranger = await browser.newContext().then((context) => context.newPage());
    await stranger.goto(link);
    await says(stranger, "#login-fault", /used already/);
    assertEquals(await stranger.locator("nav").isVisible(), false, "there is nowhere to go yet");
    await stranger.context().close();

    // It only looks, and is refused while an automation of the same rank has keyboard and mouse.
    await page.click('a[href="#/vm/vm"]');
    await says(page, "#seat", /You are looking/);
    const lease = await client.acquire("vm", "input");
    await says(page, "#vm-owner", /has input/);
    await page.click("#take");
    await says(page, "#seat.refused", /has keyboard and mouse/);
    assert(lease.owned);
    await lease.release();

    // It takes over from one of a lower rank, which is told.
    if (others) {
      Deno.chmodSync(daemon.folder, 0o755);
      await using weak = new ForeignControl(buildRelay(dir), daemon.socket, { uid: WEAK, gid: WEAK });
      await weak.hello();
      const granted = await weak.ask(KIND.CMD_ACQUIRE, 1, [LEASE_CLASS.INPUT, 0, 0]);
      assertEquals(granted.kind, KIND.LEASE_GRANTED);
      await says(page, "#vm-owner", /uid 65531/);
      await page.click("#take");
      const revoked = await weak.matching(({ kind }) => kind === KIND.LEASE_REVOKED);
      assertEquals(revoked.words[1], 0, "pre-empted");
    } else await page.click("#take");
    await says(page, "#seat.mine", /You have keyboard and mouse/);

    // A model asks; the person answers on the page.
    const asks = await Asks.of(daemon.socket);
    const question = { vm: "vm", question: "Reboot <b>it</b>?", choices: ["yes", "no"] };
    const asked = asks.ask({ ...question, timeoutMs: timeout, signal: new AbortController().signal });
    await says(page, "#asks .ask", /Reboot <b>it<\/b>\?/);
    await page.click("#asks button:text-is('no')");
    assertEquals((await asked).text, "no");
    await page.waitForSelector("#asks", { state: "hidden" });

    // What is typed is there, as the page's own text of the screen says.
    await page.locator("#screen canvas").focus();
    await page.keyboard.type("echo one two\n");
    await until("the guest has it", async () => {
      return (await client.screenText("vm")).lines.includes("one two");
    }, timeout);
    await page.click("[data-panel=text]");
    await says(page, "#text", /^one two$/m);
    await page.click("[data-panel=paste]");
    await page.fill("#paste-text", "echo pasted ~\n");
    await page.click("#paste-form button");
    await until("it is pasted", async () => {
      return (await client.screenText("vm")).lines.includes("pasted ~");
    }, timeout);
    await page.fill("#paste-text", "\u{1f600}");
    await page.click("#paste-form button");
    await says(page, "#paste-form .fault", /Cannot type the text/);
    await page.click("[data-panel=processes]");
    await says(page, "#ps-rows", /evrec/);
    const from = recorder.text.length;
    await page.selectOption("#chord", "alt-f4");
    await until("the keys are there", () => {
      const keys = [...recorder.text.slice(from).matchAll(/^event\d+ 1 (\d+) ([01])$/gm)];
      return keys.map(([, code, value]) => `${code}:${value}`).join(" ") === "56:1 62:1 62:0 56:0";
    }, timeout);

    // What it sees is recorded, and saved as a film.
    await page.click("#record");
    await says(page, "#record[aria-pressed=true]", /Save recording/);
    await page.locator("#screen canvas").focus();
    await page.keyboard.type("echo filmed\n");
    await until("it is typed", async () => {
      return (await client.screenText("vm")).lines.includes("filmed");
    }, timeout);
    const [film] = await Promise.all([page.waitForEvent("download"), page.click("#record")]);
    assertMatch(film.suggestedFilename(), /^vm-[\dT-]+\.webm$/);
    const bytes = await Deno.readFile(await film.path());
    assertEquals([...bytes.subarray(0, 4)], [0x1a, 0x45, 0xdf, 0xa3], "a file of EBML");
    await film.delete();

    // Given back, and taken again; the tab goes with a key down.
    await page.click("#take");
    await says(page, "#seat", /Given back/);
    await until("it is free", async () => !(await client.leaseStatus("vm", "input")).busy, timeout);
    await page.click("#take");
    await says(page, "#seat.mine", /You have/);
    await page.locator("#screen canvas").focus();
    await page.keyboard.down("x");
    await until("x is down", () => /^event\d+ 1 45 1$/m.test(recorder.text), timeout);
    const second = await page.context().newPage();
    await page.close();
    await until("x is released", () => /^event\d+ 1 45 0$/m.test(recorder.text), timeout);
    await until("the lease is free", async () => !(await client.leaseStatus("vm", "input")).busy, timeout);

    // Another tab of the session; the timeline tells who did what; the daemon restarts meanwhile.
    await second.goto(`${new URL(link).origin}/#/events`);
    await second.fill("#find", "link took");
    await says(second, "#lines", /link took keyboard and mouse/);
    await client.close();
    await daemon[Symbol.asyncDispose]();
    await says(second, "#banner", /The daemon is away/);
    daemon = await DaemonProcess.start({ config, folder: dir });
    await second.locator("#banner").waitFor({ state: "hidden", timeout });
    await second.goto(`${new URL(link).origin}/#/vm/vm`);
    await says(second, "#seat", /You are looking/);
    await second.click("#take");
    await says(second, "#seat.mine", /You have/);

    // Another VM is not there yet: it says so instead of a picture, and asks nothing of the daemon.
    await second.goto(`${new URL(link).origin}/#/vm/away`);
    await says(second, "#no-picture", /^Cannot show the screen of away: the VM is (attaching|down)$/);

    // Out: nothing is answered any more.
    await second.click("#leave");
    await says(second, "h1", /Log in/);
    assertEquals(faults, []);
    assertEquals(elsewhere, []);
    assertEquals(await command.end(), 130);
    await until("the log tells it", () => /link came in/.test(command.text));
  } finally {
    await browser.close();
    await daemon[Symbol.asyncDispose]();
    await Deno.remove(dir, { recursive: true });
  }
});

/** What a request of bytes gets: its status and headers. */
async function asked(place: string, head: string): Promise<string> {
  const [hostname = "", port = ""] = place.split(":");
  using conn = await Deno.connect({ hostname, port: Number(port) });
  await conn.write(new TextEncoder().encode(head.replaceAll("\n", "\r\n")));
  const bytes = new Uint8Array(4096);
  const n = await conn.read(bytes);
  return new TextDecoder().decode(bytes.subarray(0, n ?? 0));
}

Deno.test("web: who is not in, names another host or comes from another page gets nothing", async () => {
  await using daemon = await DaemonProcess.start({ stubs: 1 });
  await using command = new WebCommand(daemon);
  const { host, origin, hash } = new URL(await command.link());
  const socket = "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\n" +
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\n";
  const ours = `Host: ${host}\nOrigin: ${origin}\n`;
  const page = await asked(host, `GET / HTTP/1.1\nHost: ${host}\n\n`);
  assertMatch(page, /^HTTP\/1.1 200[^]*content-security-policy: default-src 'none'/i);
  for (const header of ["x-content-type-options: nosniff", "referrer-policy: no-referrer"]) {
    assert(page.toLowerCase().includes(header), header);
  }
  const secret = hash.replace("#enter=", "");
  const enter = (headers: string, body: string) =>
    asked(host, `POST /enter HTTP/1.1\n${headers}Content-Length: ${body.length}\n\n${body}`);
  for (
    const [answer, status] of [
      [asked(host, "GET / HTTP/1.1\nHost: evil.example\n\n"), 421],
      [asked(host, `GET /shot?vm=stub0 HTTP/1.1\nHost: ${host}\n\n`), 401],
      [asked(host, `GET /ws HTTP/1.1\n${ours}${socket}\n`), 401],
      [asked(host, `GET /ws HTTP/1.1\nHost: ${host}\n${socket}\n`), 403],
      [asked(host, `GET /ws HTTP/1.1\nHost: ${host}\nOrigin: http://evil.example\n${socket}\n`), 403],
      [asked(host, `PUT / HTTP/1.1\n${ours}Content-Length: 0\n\n`), 405],
      [enter(`Host: ${host}\nOrigin: http://evil.example\n`, secret), 403],
      [enter(`Host: ${host}\n`, secret), 403],
      [enter(ours, "x".repeat(1000)), 413],
      [enter(ours, "not the token of anybody"), 403],
    ] as const
  ) assertMatch(await answer, new RegExp(`^HTTP/1.1 ${status} `));
  const inside = await enter(ours, secret);
  assertMatch(inside, /^HTTP\/1.1 204 /);
  const cookie = /set-cookie: ([^;]+);/i.exec(inside)?.[1] ?? "";
  const mine = `Host: ${host}\nCookie: ${cookie}\n`;
  for (
    const [answer, status] of [
      [asked(host, `GET /nothing HTTP/1.1\n${mine}\n`), 404],
      [asked(host, `GET /shot?vm=stub0 HTTP/1.1\n${mine}Sec-Fetch-Site: cross-site\n\n`), 403],
      [asked(host, `GET /shot?vm=nobody HTTP/1.1\n${mine}\n`), 404],
      [asked(host, `GET /ws HTTP/1.1\n${mine}Origin: http://evil.example\n${socket}\n`), 403],
      [asked(host, `GET /screen?vm=stub0&tab=x HTTP/1.1\n${mine}Origin: ${origin}\n${socket}\n`), 403],
      [asked(host, `GET /ws HTTP/1.1\n${mine}Origin: ${origin}\n${socket}\n`), 101],
    ] as const
  ) assertMatch(await answer, new RegExp(`^HTTP/1.1 ${status} `));
  assertEquals(await command.end(), 130);
});
