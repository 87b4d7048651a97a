/** One look at a VM's channels serves all who ask together. */
import { assertEquals } from "@std/assert";
import { findChannels } from "../../../../src/adapters/channel/find_channels.ts";
import type { QmpLink } from "../../../../src/qemu/monitor/qmp_link.ts";
import type { QmpReply } from "../../../../src/qemu/protocol/qmp_client.ts";

/** A monitor whose answers the test gives. */
class AskedLink {
  generation = 1;
  readonly asked: string[] = [];
  #handlers: ((reply: QmpReply) => void)[] = [];

  execute(command: string, _args: object | undefined, handler: (reply: QmpReply) => void): void {
    this.asked.push(command);
    this.#handlers.push(handler);
  }

  answer(reply: QmpReply): void {
    const handlers = this.#handlers;
    this.#handlers = [];
    for (const handler of handlers) handler(reply);
  }

  answerAll(): void {
    while (this.#handlers.length > 0) this.answer({ outcome: "done", value: [] } as unknown as QmpReply);
  }

  get link(): QmpLink {
    return this as unknown as QmpLink;
  }
}

Deno.test("who asks together is told by one look; who asks when it has begun has one of its own", () => {
  const monitor = new AskedLink();
  const told: string[] = [];
  findChannels(monitor.link, (channels) => told.push(`console ${channels?.length}`));
  findChannels(monitor.link, (channels) => told.push(`agent ${channels?.length}`));
  assertEquals(monitor.asked, ["qom-list"]);
  monitor.answer({ outcome: "done", value: [] } as unknown as QmpReply);
  const before = monitor.asked.length;
  findChannels(monitor.link, (channels) => told.push(`late ${channels?.length}`));
  assertEquals(monitor.asked.slice(before), ["qom-list"], "what it sees must be as new as its question");
  monitor.answerAll();
  assertEquals(told.sort(), ["agent 0", "console 0", "late 0"]);
});

Deno.test("a monitor that is lost ends the look for all who wait, and the next one begins anew", () => {
  const monitor = new AskedLink();
  const told: unknown[] = [];
  findChannels(monitor.link, (channels) => told.push(channels));
  findChannels(monitor.link, (channels) => told.push(channels));
  monitor.generation++;
  monitor.answer({ outcome: "lost" } as unknown as QmpReply);
  assertEquals(told, [undefined, undefined]);
  findChannels(monitor.link, (channels) => told.push(channels?.length));
  monitor.answerAll();
  assertEquals(told, [undefined, undefined, 0]);
});
