import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { OsError } from "../../../ffi/os_error.ts";
import { HUP, IN, Poller } from "../../../ffi/poller.ts";
import { kill, pidfdOpen, SIGNAL, signalPidfd, signalToEventFd } from "../../../ffi/signals.ts";
import "./loaded_shim.ts";

const FFI = new URL("../../../ffi/", import.meta.url).href;

/** Runs a program in a process of its own: signals belong to a whole process. Its lines, and how it ended. */
async function run(
  program: string,
  drive: (pid: number, nextLine: () => Promise<string>) => Promise<void>,
): Promise<Deno.CommandStatus> {
  const folder = await Deno.makeTempDir();
  await Deno.writeTextFile(`${folder}/program.ts`, program.replaceAll("FFI/", FFI));
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--no-config", `${folder}/program.ts`],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  const nextLine = async (): Promise<string> => {
    for (;;) {
      const end = pending.indexOf("\n");
      if (end >= 0) {
        const line = pending.slice(0, end);
        pending = pending.slice(end + 1);
        return line;
      }
      const { value, done } = await reader.read();
      if (done) return pending;
      pending += value;
    }
  };
  try {
    await drive(child.pid, nextLine);
  } finally {
    // When the test failed the program is still there, and ends here by its pid.
    kill(child.pid, SIGNAL.KILL);
    await reader.cancel();
    await Deno.remove(folder, { recursive: true });
  }
  return await child.status;
}

Deno.test("a signal wakes a thread that sits in epoll_wait, and is counted", async () => {
  await run(
    `import { EventFd } from "FFI/event_fd.ts";
     import { IN, Poller } from "FFI/poller.ts";
     import { resetSignal, SIGNAL, signalToEventFd } from "FFI/signals.ts";
     const poller = new Poller();
     const event = EventFd.create();
     poller.add(event.fd, IN, 77);
     signalToEventFd(SIGNAL.USR1, event.fd);
     console.log("sitting");
     for (let seen = 0; seen < 3;) {
       let n = 0;
       while ((n = poller.wait(-1)) === 0);
       seen += event.drain();
       console.log("woken", n, poller.tag(0));
     }
     resetSignal(SIGNAL.USR1);
     console.log("reset");
     for (;;) poller.wait(-1);`,
    async (pid, nextLine) => {
      assertEquals(await nextLine(), "sitting");
      for (let i = 0; i < 3; i++) {
        assert(kill(pid, SIGNAL.USR1));
        assertEquals(await nextLine(), "woken 1 77");
      }
      assertEquals(await nextLine(), "reset");
      using pidfd = pidfdOpen(pid);
      assert(signalPidfd(pidfd.fd, SIGNAL.USR1));
    },
  ).then((status) => assertEquals(status.signal, "SIGUSR1", "after the reset the signal kills again"));
});

Deno.test("a Worker that sits in epoll_wait hears of a SIGTERM", async () => {
  const worker = `
     import { EventFd } from "FFI/event_fd.ts";
     import { IN, Poller } from "FFI/poller.ts";
     import { SIGNAL, signalToEventFd } from "FFI/signals.ts";
     const poller = new Poller();
     const event = EventFd.create();
     poller.add(event.fd, IN, 5);
     signalToEventFd(SIGNAL.TERM, event.fd);
     self.postMessage("sitting");
     while (poller.wait(-1) === 0);
     self.postMessage("heard " + event.drain());`.replaceAll("FFI/", FFI);
  await run(
    `const url = URL.createObjectURL(new Blob([${JSON.stringify(worker)}], { type: "text/typescript" }));
     new Worker(url, { type: "module" }).onmessage = (message) => {
       console.log(message.data);
       if (message.data !== "sitting") Deno.exit(0);
     };`,
    async (pid, nextLine) => {
      assertEquals(await nextLine(), "sitting");
      kill(pid, SIGNAL.TERM);
      assertEquals(await nextLine(), "heard 1");
    },
  );
});

Deno.test("an ignored signal does nothing", async () => {
  await run(
    `import { ignoreSignal, SIGNAL } from "FFI/signals.ts";
     ignoreSignal(SIGNAL.USR2);
     Deno.kill(Deno.pid, "SIGUSR2");
     console.log("still here");
     setTimeout(() => {}, 1_000_000);`,
    async (_pid, nextLine) => assertEquals(await nextLine(), "still here"),
  );
});

Deno.test("a pidfd becomes readable when its process ends, and signals only that one", async () => {
  const child = new Deno.Command("sleep", { args: ["1000"], stdout: "null" }).spawn();
  using pidfd = pidfdOpen(child.pid);
  using poller = new Poller();
  poller.add(pidfd.fd, IN, 1);
  assert(kill(child.pid, 0));
  assertEquals(poller.wait(0), 0);
  assert(signalPidfd(pidfd.fd, SIGNAL.KILL));
  assertEquals(await poller.waitAsync(-1), 1);
  // HUP comes with it when the process was waited for already.
  assertEquals(poller.events(0) & ~HUP, IN);
  await child.status;
  assertEquals(signalPidfd(pidfd.fd, SIGNAL.TERM), false);
});

Deno.test("what is not there or not possible", () => {
  const nobody = 4_194_303;
  assertEquals(kill(nobody, 0), false);
  assertStringIncludes(assertThrows(() => pidfdOpen(nobody), OsError).message, "(ESRCH)");
  assertThrows(() => signalToEventFd(SIGNAL.KILL, 0), OsError, "EINVAL");
  assertThrows(() => signalToEventFd(65, 0), OsError, "EINVAL");
  assertThrows(() => signalToEventFd(SIGNAL.USR1, -1), OsError, "EINVAL");
});
