/**
 * People at one VM's web console, each a principal of its own: they log in by tokens over TLS, see a guest
 * boot, take keyboard and mouse from an automation (which waits, is shown, and gets them back) and from each
 * other, by their rules; they use the serial console; a lid is closed with a key down; the VM is reset and
 * ends, the daemon restarts. What became of it is told on the page.
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertGreater, assertMatch } from "@std/assert";
import type { EndpointId } from "../../src/base/ids.ts";
import type { Browser, Page } from "playwright-core";
import { hashOf } from "../../src/web/tokens.ts";
import { makeCertificate } from "../fixtures/certificate.ts";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { freePort } from "../fixtures/nats_server.ts";
import { closeLid, startBrowser, WebCommand } from "../fixtures/web_command.ts";
import type { Qemu } from "./qemu.ts";
import { startSavedGuest } from "./saved_guest.ts";

/** Reached by a hang alone. */
const timeout = 120_000;
const PEOPLE = ["alice", "bob", "carol", "dora"] as const;
const tokenOf = (name: string) => `the token of ${name}`;

function rules(names: readonly string[]): string {
  const rule = (name: string, prio: number, caps: string) =>
    `[[admission]]\ntoken = "${name}"\nendpoints = ["vm"]\ncaps = [${caps}]\narb_prio = ${prio}\n`;
  const look = '"observe", "roster", "frame", "audit", "vm", "memctx"';
  const all: Record<string, string> = {
    alice: rule("alice", 20, `${look}, "input", "power", "console", "console_write"`),
    bob: rule("bob", 10, `${look}, "input"`),
    carol: rule("carol", 10, look),
  };
  return `[[admission]]\nuid = ${Deno.uid()}\nspeaks_for = ["token:*"]\nendpoints = ["*"]\ncaps = ["*"]\narb_prio = 5\n` +
    names.map((name) => all[name] ?? "").join("");
}

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

/** Logs somebody in, with a browser profile of its own; what the page complains of goes to `faults`. */
async function enter(browser: Browser, place: string, name: string, faults: string[]): Promise<Page> {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const page = await context.newPage();
  page.setDefaultTimeout(timeout);
  page.on("pageerror", (error) => faults.push(`${name}: ${error.message}`));
  page.on("console", (message) => {
    if (/Content Security Policy|Uncaught/.test(message.text())) faults.push(`${name}: ${message.text()}`);
  });
  await page.goto(place);
  await page.fill("#token", "not a token of anybody");
  await page.click("#login-form button");
  await says(page, "#login-fault", /not valid/);
  await page.fill("#token", tokenOf(name));
  await page.click("#login-form button");
  return page;
}

/** What the canvas shows, as a number. */
function pictureOf(page: Page): Promise<number> {
  return page.evaluate(`(() => {
    const canvas = document.querySelector("#screen canvas");
    if (canvas === null || canvas.width === 0) return 0;
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let sum = canvas.width;
    for (let i = 0; i < data.length; i += 4) sum = (Math.imul(sum, 31) + data[i] + data[i + 1] + data[i + 2]) | 0;
    return sum;
  })()`);
}

const shown = (page: Page) => page.locator("#screen canvas").first().waitFor({ timeout });

Deno.test("web: people with rules of their own share a VM, and are told who does what", async (t) => {
  const dir = await Deno.makeTempDir({ prefix: "vmsig-people-" });
  let vm: Qemu | undefined = await startSavedGuest({
    append: "console=ttyS0 console=tty0 no_timer_check random.trust_cpu=on",
    devices: ["virtio-input"],
    programs: ["evrec", "console", "talker"],
    ramMiB: 256,
    extraArgs: [
      ...["-vga", "std", "-chardev", `socket,id=com3,path=${dir}/com3.sock,server=on,wait=off`],
      ...["-device", "isa-serial,chardev=com3,index=2"],
    ],
  });
  const recorder = await vm.agent.start("evrec");
  await recorder.lineMatching(/^recording/);
  const endpoint = `[[endpoint]]\nname = "vm"\nvmid = 1\nqmp = "${vm.qmpPath}"\ninput = "qmp"\n`;
  let daemon = await DaemonProcess.start({ config: endpoint + rules(PEOPLE), folder: dir });
  const browser = await startBrowser();
  const faults: string[] = [];
  // What follows one that fails has nothing to stand on.
  const step = async (what: string, work: () => Promise<void>) => {
    if (!await t.step(what, work)) throw new Error(`not further than: ${what}`);
  };
  try {
    const automation = await daemon.connect("nightly");
    await until(
      "the VM is up",
      () => automation.roster.get(1 as EndpointId)?.seams.includes("frame") === true,
    );
    const tokens = `${dir}/people`;
    const lines = await Promise.all(PEOPLE.map(async (name) => `${name} ${await hashOf(tokenOf(name))}\n`));
    await Deno.writeTextFile(tokens, lines.join(""), { mode: 0o600 });
    const { cert, key } = await makeCertificate(dir);
    const flags = ["--tokens", tokens, "--tls-cert", cert, "--tls-key", key];
    // A port of its own: the next server takes it as well.
    const listen = ["--listen", `127.0.0.1:${freePort()}`];
    await using command = new WebCommand(daemon, ...flags, ...listen);
    const place = await command.place();
    assertMatch(place, /^https:/);
    await until("the log tells it", () => /dora cannot come in yet: .*token = "dora"/.test(command.text));

    let alice!: Page;
    let bob!: Page;
    await step("each has what the own rule says; who has none is told so", async () => {
      alice = await enter(browser, place, "alice", faults);
      await alice.waitForSelector(".card img:not([hidden])");
      const [cookie] = await alice.context().cookies();
      assertEquals([cookie?.secure, cookie?.httpOnly, cookie?.sameSite], [true, true, "Strict"]);
      await alice.click(".card");
      await says(alice, "#seat", /You are looking/);
      const carol = await enter(browser, place, "carol", faults);
      await carol.click(".card");
      await says(carol, "#seat", /no keyboard and mouse/);
      assert(await carol.locator("#take").isDisabled());
      assert(await carol.locator("#console-button").isHidden());
      await carol.context().close();
      const dora = await enter(browser, place, "dora", faults);
      await says(dora, "#login-fault", /no \[\[admission\]\] admits token:dora/);
      await dora.context().close();
    });

    await step(
      "an automation is told who took over and why, is shown waiting, and gets it back",
      async () => {
        const lease = await automation.acquire("vm", "input", { message: "the nightly tests" });
        await says(alice, "#vm-owner", /nightly has input “the nightly tests”/);
        await alice.fill("#why", "a look at the login");
        await alice.click("#take");
        await says(alice, "#seat.mine", /You have keyboard and mouse/);
        assertEquals(await lease.lost, "preempted");
        assertEquals(lease.takenBy?.as, "token:alice");
        const { owner } = await automation.leaseParties("vm", "input");
        assertEquals([owner?.message, owner?.name], ["a look at the login", "web alice"]);
        const back = lease.untilGivenBack({ message: "the nightly tests go on" });
        await says(alice, "#vm-waiting", /nightly waits for input “the nightly tests go on”/);
        await alice.locator("#screen canvas").focus();
        await alice.keyboard.type("echo by alice\n");
        await until(
          "it is typed",
          async () => (await automation.screenText("vm")).lines.includes("by alice"),
        );
        await alice.click("#take");
        await says(alice, "#seat", /Given back/);
        await using again = await back;
        assert(again.owned);
        await says(alice, "#vm-owner", /nightly has input “the nightly tests go on”/);
      },
    );

    await step("people fight by their rules, one person's tabs by the last click", async () => {
      bob = await enter(browser, place, "bob", faults);
      await bob.click(".card");
      await says(bob, "#seat", /You are looking/);
      await bob.click("#take");
      await says(bob, "#seat.mine", /You have/);
      await says(alice, "#vm-owner", /bob has input/);
      await alice.click("#take");
      await says(alice, "#seat.mine", /You have/);
      await says(bob, "#seat.refused", /alice took keyboard and mouse over/);
      await bob.click("#take");
      await says(bob, "#seat.refused", /: alice has keyboard and mouse/);
      const second = await alice.context().newPage();
      await second.goto(`${place}#/vm/vm`);
      await says(second, "#seat", /You are looking/);
      await second.click("#take");
      await says(second, "#seat.mine", /You have/);
      await says(alice, "#seat", /taken over in another tab of yours/);
      await alice.click("#take");
      await says(alice, "#seat.mine", /You have/);
      await says(second, "#seat", /taken over in another tab of yours/);
      await second.close();
      assertEquals((await automation.leaseParties("vm", "input")).owner?.as, "token:alice");
    });

    await step("the serial console is read, and written under its lease", async () => {
      await alice.click("#console-button");
      const port = alice.locator("#console-port");
      await port.locator("option", { hasText: "com3" }).waitFor({ state: "attached", timeout });
      await port.selectOption({ label: await port.locator("option", { hasText: "com3" }).innerText() });
      const rows = ".terminal .xterm-rows";
      await says(alice, "#console-state", /You are reading/);
      // What a guest says while nobody has its console open QEMU keeps for nobody.
      const talker = await vm!.agent.start("talker", "/dev/ttyS2", "login");
      await talker.lineMatching(/^ready/);
      await says(alice, rows, /login:/);
      await alice.locator(".xterm-helper-textarea").focus();
      await alice.keyboard.type("nothing");
      await alice.click("#console-take");
      await says(alice, "#console-state", /What you type goes to the VM/);
      assertEquals((await automation.leaseParties("vm", "console")).owner?.as, "token:alice");
      await alice.keyboard.type("alice\r");
      await says(alice, rows, /hello alice/);
      assert(
        !(await alice.locator(rows).innerText()).includes("nothing"),
        "what was typed before went nowhere",
      );
      await alice.click("#console-take");
      await until(
        "it is given back",
        async () => (await automation.leaseParties("vm", "console")).owner === undefined,
        timeout,
      );
      await alice.click("#console-button");
    });

    await step("a closed lid gives back what was held", async () => {
      await says(alice, "#seat.mine", /You have/);
      await alice.locator("#screen canvas").focus();
      await alice.keyboard.down("x");
      await until("x is down", () => /^event\d+ 1 45 1$/m.test(recorder.text), timeout);
      {
        using _asleep = await closeLid();
        await until("x is released", () => /^event\d+ 1 45 0$/m.test(recorder.text), timeout);
        await until(
          "the lease is free",
          async () => (await automation.leaseParties("vm", "input")).owner === undefined,
          timeout,
        );
      }
      await says(alice, "#seat", /You are looking/);
      await alice.keyboard.up("x");
    });

    await step(
      "the guest is seen to boot after a reset, which another person's rule does not allow",
      async () => {
        await bob.click("[data-panel=power]");
        await bob.click("[data-power=reset]");
        await bob.click("#sure-yes");
        await says(bob, "#panel .fault", /power/);
        await shown(alice);
        await alice.click("[data-panel=power]");
        await alice.click("[data-power=reset]");
        await alice.click("#sure-yes");
        const pictures = new Set<number>();
        await until("it boots before her eyes", async () => {
          pictures.add(await pictureOf(alice));
          const { lines } = await automation.screenText("vm").catch(() => ({ lines: [] as string[] }));
          return pictures.size > 3 && lines.some((line) => line.startsWith("guest#"));
        }, timeout);
        assertGreater(pictures.size, 3);
        await alice.click("#take");
        await says(alice, "#seat.mine", /You have/);
        await alice.locator("#screen canvas").focus();
        await alice.keyboard.type("echo booted\n");
        await until(
          "it is typed",
          async () => (await automation.screenText("vm")).lines.includes("booted"),
          timeout,
        );
      },
    );

    await step("events and the bus at a glance", async () => {
      await bob.goto(`${place}#/events`);
      await says(bob, "#metrics", /round trip to the daemon.*ms/s);
      await bob.fill("#find", "token:alice");
      await says(bob, "#lines", /input owned by token:alice/);
    });

    await step("the VM ends; the daemon comes back without alice's rule", async () => {
      await automation.close();
      await vm?.[Symbol.asyncDispose]();
      vm = undefined;
      await says(alice, "#seat", /vm is (down|gone): its QEMU has ended/);
      await daemon[Symbol.asyncDispose]();
      await says(bob, "#banner", /The daemon is away/);
      daemon = await DaemonProcess.start({ config: rules(["bob"]), folder: dir });
      await bob.locator("#banner").waitFor({ state: "hidden", timeout });
      await says(alice, "#login-fault", /session has ended/);
      await alice.fill("#token", tokenOf("alice"));
      await alice.click("#login-form button");
      await says(alice, "#login-fault", /no \[\[admission\]\] admits token:alice/);
    });
    assertEquals(faults, []);
    assertEquals(await command.end(), 130);

    // A stale cookie: the next server knows nobody.
    await using next = new WebCommand(daemon, ...flags, ...listen);
    await next.place();
    await says(bob, "#login-fault", /session has ended/);
    assertEquals(await next.end(), 130);
  } finally {
    await browser.close();
    await daemon[Symbol.asyncDispose]();
    await vm?.[Symbol.asyncDispose]();
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("web: behind a proxy on a unix socket, for its user alone", async () => {
  await using daemon = await DaemonProcess.start({ stubs: 1 });
  const path = `${daemon.folder}/web.sock`;
  await using command = new WebCommand(
    daemon,
    "--listen",
    `unix:${path}`,
    "--origin",
    "https://vms.example.org",
  );
  await command.says(/https:\/\/vms\.example\.org\/#enter=[\w-]+ \(for one use\)/);
  assertEquals((await Deno.stat(path)).mode! & 0o777, 0o600);
  const asked = async (head: string) => {
    using conn = await Deno.connect({ transport: "unix", path });
    await conn.write(new TextEncoder().encode(head.replaceAll("\n", "\r\n")));
    const [decoder, bytes] = [new TextDecoder(), new Uint8Array(4096)];
    let said = "";
    for (let n = await conn.read(bytes); n !== null; n = await conn.read(bytes)) {
      said += decoder.decode(bytes.subarray(0, n), { stream: true });
      if (said.includes("\r\n\r\n")) break;
    }
    return said;
  };
  assertMatch(await asked("GET / HTTP/1.1\nHost: vms.example.org\n\n"), /^HTTP\/1.1 200/);
  assertMatch(await asked("GET / HTTP/1.1\nHost: evil.example\n\n"), /^HTTP\/1.1 421/);
  const secret = /#enter=([\w-]+)/.exec(command.text)?.[1] ?? "";
  const enter = (origin: string) =>
    asked(
      `POST /enter HTTP/1.1\nHost: vms.example.org\nOrigin: ${origin}\nContent-Length: ${secret.length}\n\n${secret}`,
    );
  assertMatch(await enter("https://evil.example"), /^HTTP\/1.1 403/);
  assertMatch(await enter("https://vms.example.org"), /^HTTP\/1.1 204[^]*Secure/);
  assertEquals(await command.end(), 130);
});
