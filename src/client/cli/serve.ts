/**
 * `vmsig serve`: the daemon, in the foreground. Ready when it prints "ready SOCKET" on stdout; logs go to
 * stderr.
 * @module
 */
import type { CommandModule } from "./command.ts";

/** The command. */
export const serve: CommandModule = {
  args: { min: 0, max: 0 },
  takesSignals: true,
  options: {
    config: {
      takes: "text",
      value: "FILE",
      help: "the config (default: /etc/vmsig/vmsigd.toml, if it exists)",
    },
    stub: {
      takes: "number",
      value: "N",
      min: 0,
      max: 64,
      help: "add N built-in endpoints that behave like VMs",
    },
    "stub-rate": {
      takes: "number",
      value: "HZ",
      min: 0,
      max: 100_000,
      help: "each stub endpoint also emits CURSOR_STATE HZ times per second",
    },
  },
  details:
    "Runs until SIGTERM or Ctrl-C; SIGHUP reloads the config. When it ends, held keys are released and its sockets are removed.",
  examples: ["serve --stub 1", "serve --config ./vmsigd.toml --socket ./control.sock"],
  async run(call) {
    const { LoopThread } = await import("../../daemon/loop_thread.ts");
    using thread = new LoopThread();
    const [{ planServe }, { serve: serveUntilStopped }] = await Promise.all([
      import("../../daemon/serve_plan.ts"),
      import("../../daemon/serve.ts"),
    ]);
    const options = planServe({
      configPath: call.text("config"),
      socketPath: call.socket,
      stub: { count: call.number("stub") ?? 0, rateHz: call.number("stub-rate") ?? 0 },
    });
    await serveUntilStopped(options, (path) => call.out.line(`ready ${path}`), thread);
  },
};
