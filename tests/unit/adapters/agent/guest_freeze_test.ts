/** What is frozen in a guest is thawed when its owner goes, however its answers come. */
import { assertEquals, assertMatch } from "@std/assert";
import { GuestFreeze } from "../../../../src/adapters/agent/guest_freeze.ts";
import type { AgentCommand, AgentReply } from "../../../../src/qemu/agent/agent_client.ts";

/** An agent whose answers the test gives. */
class Scene {
  readonly sent: { readonly command: AgentCommand; readonly refused: (why: string) => void }[] = [];
  readonly warnings: string[] = [];
  readonly freeze: GuestFreeze;
  released = 0;

  constructor() {
    this.freeze = new GuestFreeze({
      execute: (command, refused) => {
        this.sent.push({ command, refused: (why) => refused({ code: 6, why }) });
      },
      log: { warn: (text) => void this.warnings.push(text) },
    });
  }

  release(): void {
    this.freeze.release(() => this.released++);
  }

  /** Answers the oldest thaw; whether it would have been sent. */
  answer(reply: AgentReply): boolean {
    const thaw = this.sent.shift();
    const isSent = thaw?.command.mayBeSent?.() ?? false;
    thaw?.command.handler(isSent ? reply : { outcome: "unsent", why: "" });
    return isSent;
  }
}

const DONE: AgentReply = { outcome: "done", value: 1 };

Deno.test("freeze: an owner that froze nothing, or whose freeze was refused, leaves nothing to thaw", () => {
  const scene = new Scene();
  scene.release();
  for (const outcome of ["error", "unsent"] as const) {
    scene.freeze.freezing()(outcome);
    scene.release();
  }
  assertEquals([scene.released, scene.sent.length], [3, 0]);
});

Deno.test("freeze: one that is done, or not answered in time, is thawed once before the lease passes on", () => {
  for (const outcome of ["done", "timed-out", "closed"] as const) {
    const scene = new Scene();
    scene.freeze.freezing()(outcome);
    scene.release();
    assertEquals([scene.released, scene.sent.map(({ command }) => command.name)], [0, [
      "guest-fsfreeze-thaw",
    ]]);
    assertEquals(scene.answer(DONE), true);
    assertEquals([scene.released, scene.freeze.isOwed], [1, false]);
    scene.release();
    assertEquals(scene.sent.length, 0);
  }
});

Deno.test("freeze: one that is under way when its owner dies is thawed behind it, unless it fails", () => {
  const scene = new Scene();
  const told = scene.freeze.freezing();
  scene.release();
  told("done");
  assertEquals([scene.answer(DONE), scene.released, scene.freeze.isOwed], [true, 1, false]);
  const other = scene.freeze.freezing();
  scene.release();
  other("error");
  assertEquals([scene.answer(DONE), scene.released, scene.freeze.isOwed], [false, 2, false]);
});

Deno.test("freeze: a thaw that fails is owed, told once, tried again, and withdrawn when it is not needed", () => {
  const scene = new Scene();
  scene.freeze.freezing()("done");
  scene.release();
  scene.sent.shift()?.refused("no agent runs in the guest");
  assertEquals([scene.released, scene.freeze.isOwed], [1, true]);
  scene.freeze.thaw(() => {});
  // One at a time.
  scene.freeze.thaw(() => {});
  assertEquals(scene.sent.length, 1);
  scene.answer({ outcome: "timed-out" });
  assertEquals(scene.freeze.isOwed, true);
  assertEquals(scene.warnings.length, 1);
  assertMatch(scene.warnings[0] ?? "", /stay frozen until its agent answers/);
  // The next owner has thawed it by hand and frozen it anew: that is its own.
  scene.freeze.thaw(() => {});
  scene.freeze.thawed();
  scene.freeze.freezing()("done");
  assertEquals([scene.answer(DONE), scene.freeze.isOwed], [false, false]);
  scene.release();
  assertEquals(scene.answer(DONE), true);
});

Deno.test("freeze: who closes waits for the thaw that is under way, and for nothing else", () => {
  const scene = new Scene();
  let isIdle = false;
  scene.freeze.whenIdle(() => isIdle = true);
  assertEquals(isIdle, true);
  scene.freeze.freezing()("done");
  scene.release();
  isIdle = false;
  scene.freeze.whenIdle(() => isIdle = true);
  assertEquals(isIdle, false);
  scene.answer({ outcome: "closed" });
  assertEquals([isIdle, scene.released], [true, 1]);
});
