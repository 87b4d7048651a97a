/**
 * `vmsig vnc` with the viewer that Debian's users have, TigerVNC, on an X server of the test's own: a person
 * logs in, sees the guest, is refused while an automation has the keys, takes them over, types, sees the
 * text, watches a reset, and goes with a key down.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals } from "@std/assert";
import type { EndpointId } from "../../src/base/ids.ts";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { X_WIDTH, XScreen } from "../fixtures/x_screen.ts";
import { startSavedGuest } from "./saved_guest.ts";

/** Reached by a hang alone. */
const timeout = 180_000;
const ROOT = new URL("../../", import.meta.url).pathname;
/** What the person's pointer covers, pixels. */
const POINTER = 400;

Deno.test("vnc server: a person with TigerVNC logs in, is refused, takes over, types, sees, watches a reset", async () => {
  const dir = await Deno.makeTempDir({ prefix: "vmsig-tiger-" });
  try {
    await using vm = await startSavedGuest({
      append:
        "quiet console=ttyS0 console=tty0 no_timer_check random.trust_cpu=on vt.global_cursor_default=0",
      devices: ["virtio-input"],
      programs: ["evrec", "console"],
      ramMiB: 256,
      extraArgs: ["-vga", "std"],
    });
    const recorder = await vm.agent.start("evrec");
    await recorder.lineMatching(/^recording/);
    await using daemon = await DaemonProcess.start({
      config: `[[endpoint]]\nname = "vm"\nvmid = 1\nqmp = "${vm.qmpPath}"\ninput = "qmp"\nmemory = "none"\n`,
    });
    await using client = await daemon.connect("nightly");
    await until("the VM is up", () => client.roster.get(1 as EndpointId)?.seams.includes("frame") === true);
    await Deno.writeTextFile(`${dir}/password`, "open it\n", { mode: 0o600 });
    const command = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", "--no-check", "--config", `${ROOT}deno.json`, `${ROOT}main.ts`],
        ...["vnc", "vm", "--socket", daemon.socket, "--listen", "127.0.0.1:0"],
        ...["--password-file", `${dir}/password`],
      ],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    let told = "";
    const reading = Promise.all([command.stdout, command.stderr].map(async (stream) => {
      for await (const text of stream.pipeThrough(new TextDecoderStream())) told += text;
    }));
    await using _command = {
      async [Symbol.asyncDispose]() {
        command.kill("SIGINT");
        await command.status;
        await reading;
      },
    };
    await until("it listens", () => /VNC on 127\.0\.0\.1:\d+/.test(told), timeout);
    const place = /VNC on (127\.0\.0\.1:\d+)/.exec(told)?.[1] ?? "";
    await using screen = await XScreen.start();

    /** Whether the person's screen shows the guest's, as of now. */
    const shows = async (): Promise<boolean> => {
      const frame = await client.frame("vm");
      const { width, height } = frame;
      const words = new Int32Array(frame.bytes.buffer, frame.bytes.byteOffset, height * frame.stride / 4);
      const pitch = frame.stride / 4;
      const seen = screen.pixels();
      // Where the viewer's window lies is its own affair: both begin with the same lit pixel.
      const firstOf = (pixels: Int32Array) => pixels.findIndex((pixel) => (pixel & 0xff_ffff) !== 0);
      const [first, firstSeen] = [firstOf(words), firstOf(seen)];
      if (first < 0 || firstSeen < 0) return false;
      const from = firstSeen - Math.floor(first / pitch) * X_WIDTH - first % pitch;
      let [differs, lit] = [0, 0];
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const wanted = (words[y * pitch + x] as number) & 0xff_ffff;
          if (wanted !== 0) lit++;
          if (wanted !== seen[from + y * X_WIDTH + x]) differs++;
        }
      }
      return differs <= POINTER && lit > 2 * POINTER;
    };
    const hasText = async (text: string) =>
      (await client.screenText("vm").catch(() => ({ lines: [] as string[] }))).lines.includes(text);

    // In, with the password alone.
    const wrong = screen.viewer(place, "is it open");
    await until("it is refused", () => /password/.test(told), timeout);
    // This viewer ends when it is.
    await wrong.status;
    const viewer = screen.viewer(place, "open it");
    try {
      await until("the person sees the guest", shows, timeout);
      await screen.act("mousemove", "1000", "700");
      // Without a window manager nobody else gives it the keyboard.
      const press = async (...words: string[]) => {
        await screen.act("search", "--onlyvisible", "--name", "TigerVNC", "windowfocus", "--sync");
        await screen.act(...words);
      };

      // An automation has the keys: they go nowhere.
      const lease = await client.acquire("vm", "input", { message: "the nightly tests" });
      await press("key", "q");
      await until("it is refused", () => /has keyboard and mouse/.test(told), timeout);
      assert(lease.owned);
      assertEquals(recorder.text.match(/^event\d+ 1 16 1$/m), null, "no q is pressed");
      await lease.release();

      // They are free: the person takes them with a key.
      await press("type", "--delay", "60", "echo tiger");
      await screen.act("key", "Return");
      await until("it is typed", () => hasText("tiger"), timeout);
      await until("the person sees it", shows, timeout);
      await until("it is told", () => /viewer \d+ has keyboard and mouse/.test(told), timeout);

      // A reset before the person's eyes.
      {
        await using _power = await client.acquire("vm", "power");
        await client.vm("vm", "reset");
      }
      await until("it boots", async () => {
        const { lines } = await client.screenText("vm").catch(() => ({ lines: [] as string[] }));
        return lines.some((line) => line.startsWith("guest#")) && !lines.includes("tiger");
      }, timeout);
      await until("the person sees it", shows, timeout);

      // The person goes with a key down.
      await press("keydown", "x");
      await until("x is down", async () => (await client.held("vm")).entries.length > 0, timeout);
    } finally {
      viewer.kill("SIGKILL");
      await viewer.status;
    }
    await until("nothing is held", async () => (await client.held("vm")).entries.length === 0, timeout);
    await until("the lease is free", async () => !(await client.leaseStatus("vm", "input")).busy, timeout);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
