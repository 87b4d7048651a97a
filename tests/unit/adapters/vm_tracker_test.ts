import "../ffi/loaded_shim.ts";
import { assertEquals } from "@std/assert";
import { connectLoss, HELD } from "../../../src/qemu/monitor/qmp_loss.ts";
import { RESET_FOLD_NS, VmTracker } from "../../../src/adapters/vmhost/vm_tracker.ts";
import { OsError } from "../../../ffi/os_error.ts";
import { SECOND } from "../../../src/base/clock.ts";
import { SEAM_REASON, VM_DETAIL, VM_STATE_NUMBER } from "../../../src/event/body_number.ts";

const { RUNNING, PAUSED, SHUTDOWN, RESET, POWERDOWN, CRASHED, SUSPENDED, UNKNOWN } = VM_STATE_NUMBER;
const { NONE, HOST_REQUEST, GUEST_REQUEST, PANIC, WATCHDOG, IO_ERROR, MIGRATION } = VM_DETAIL;

/**
 * What a tracker tells of an event: [state, detail], with "verify" behind when it is to be asked for; or its
 * word.
 */
function tells(
  tracker: VmTracker,
): (name: string, data?: Record<string, unknown>, nowNs?: number) => unknown {
  return (name, data = {}, nowNs = SECOND) => {
    const told = tracker.onEvent({ name, data }, nowNs);
    if (typeof told === "string") return told;
    return "verify" in told ? [told.told.state, told.told.detail, "verify"] : [told.state, told.detail];
  };
}

/** The same of a VM that runs. */
function running(): ReturnType<typeof tells> {
  const tracker = new VmTracker();
  tracker.onRunState("running");
  return tells(tracker);
}

Deno.test("run states of query-status", () => {
  const cases: [string, number, number][] = [
    ["running", RUNNING, NONE],
    ["paused", PAUSED, HOST_REQUEST],
    ["prelaunch", PAUSED, HOST_REQUEST],
    ["io-error", PAUSED, IO_ERROR],
    ["watchdog", PAUSED, WATCHDOG],
    ["suspended", SUSPENDED, GUEST_REQUEST],
    ["guest-panicked", CRASHED, PANIC],
    ["internal-error", CRASHED, NONE],
    ["shutdown", SHUTDOWN, NONE],
    ["of-a-younger-qemu", UNKNOWN, NONE],
    ["", UNKNOWN, NONE],
  ];
  for (const [word, state, detail] of cases) {
    assertEquals(new VmTracker().onRunState(word), { state, detail }, word);
  }
  const ways = [["inmigrate", 1], ["finish-migrate", 2], ["colo", 2], ["postmigrate", 3]] as const;
  for (const [word, migration] of ways) {
    const told = new VmTracker().onRunState(word);
    assertEquals(told, { state: PAUSED, detail: MIGRATION, migration }, word);
  }
});

Deno.test("the process that a VM has left behind ends, and no VM", () => {
  const tracker = new VmTracker();
  tracker.onRunState("postmigrate");
  const shutdown = { name: "SHUTDOWN", data: { guest: false, reason: "host-qmp-quit" } };
  assertEquals(tracker.onEvent(shutdown, 0), "nothing");
  assertEquals(tracker.current.migration, 3);
});

Deno.test("a stop without a cause is asked for, one with a cause is told", () => {
  const tell = running();
  assertEquals(tell("STOP"), "ask");
  assertEquals(tell("BLOCK_IO_ERROR", { action: "report" }), "nothing");
  assertEquals(running()("STOP"), "ask");
  const failing = running();
  failing("BLOCK_IO_ERROR", { action: "stop" });
  assertEquals(failing("STOP"), [PAUSED, IO_ERROR]);
  assertEquals(failing("RESUME"), [RUNNING, HOST_REQUEST, "verify"]);
  assertEquals(failing("RESUME"), "nothing");
  const tracker = new VmTracker();
  tracker.onRunState("running");
  tracker.onStopAsked(1);
  assertEquals(tracker.onEvent({ name: "STOP", data: {} }, 1), { state: PAUSED, detail: HOST_REQUEST });
});

Deno.test("a watchdog is the cause of what it does", () => {
  const doing = (action: string) => {
    const tell = running();
    const first = tell("WATCHDOG", { action });
    return [tell, first] as const;
  };
  const [pausing, first] = doing("pause");
  assertEquals([first, pausing("STOP")], ["nothing", [PAUSED, WATCHDOG]]);
  const [resetting] = doing("reset");
  assertEquals(resetting("RESET", { guest: true, reason: "guest-reset" }), [RESET, WATCHDOG]);
  assertEquals(resetting("POWERDOWN"), [POWERDOWN, HOST_REQUEST], "it is used up");
  const [powering] = doing("shutdown");
  assertEquals(powering("POWERDOWN"), [POWERDOWN, WATCHDOG]);
  assertEquals(doing("poweroff")[1], [SHUTDOWN, WATCHDOG]);
  const [nothing] = doing("none");
  assertEquals(nothing("STOP"), "ask");
});

Deno.test("a panic: crashed, not paused; a shutdown keeps its cause", () => {
  const tell = running();
  assertEquals(tell("GUEST_PANICKED", { action: "poweroff" }), [CRASHED, PANIC]);
  assertEquals(tell("STOP"), "nothing");
  assertEquals(tell("SHUTDOWN", { guest: true, reason: "guest-panic" }), [SHUTDOWN, PANIC]);
  assertEquals(tell("STOP"), "nothing");
  assertEquals(running()("SHUTDOWN", { guest: false, reason: "host-signal" }), [
    SHUTDOWN,
    VM_DETAIL.HOST_SIGNAL,
  ]);
  assertEquals(running()("SHUTDOWN", {}), [SHUTDOWN, NONE]);
});

Deno.test("the firmware's resets are folded while the VM runs, the host's are not", () => {
  const tell = running();
  const host = { guest: false, reason: "host-qmp-system-reset" };
  const guest = { guest: true, reason: "guest-reset" };
  assertEquals(tell("RESET", host, 10 * SECOND), [RESET, HOST_REQUEST]);
  assertEquals(tell("RESET", guest, 10 * SECOND + 1), "nothing");
  assertEquals(tell("RESET", guest, 10 * SECOND + 2), "nothing");
  assertEquals(tell("RESET", host, 10 * SECOND + 3), [RESET, HOST_REQUEST]);
  assertEquals(tell("RESET", guest, 10 * SECOND + 3 + RESET_FOLD_NS + 1), [RESET, GUEST_REQUEST]);
  const paused = running();
  paused("BLOCK_IO_ERROR", { action: "stop" });
  paused("STOP");
  assertEquals(paused("RESET", host, 20 * SECOND), [RESET, HOST_REQUEST]);
  assertEquals(paused("RESUME", {}, 90 * SECOND), [RUNNING, HOST_REQUEST, "verify"]);
  assertEquals(paused("RESET", guest, 90 * SECOND + 1), "nothing", "its firmware ran only now");
  // Stopped between the reset and the firmware's own.
  const between = running();
  between("RESET", host, 30 * SECOND);
  between("STOP", {}, 30 * SECOND + 1);
  between("RESUME", {}, 60 * SECOND);
  assertEquals(between("RESET", guest, 60 * SECOND + 1), "nothing");
});

Deno.test("suspend and wake-up, asked for or not", () => {
  const tell = running();
  assertEquals(tell("SUSPEND"), [SUSPENDED, GUEST_REQUEST]);
  assertEquals(tell("WAKEUP"), [RUNNING, NONE]);
  assertEquals(tell("WAKEUP"), "nothing");
  const tracker = new VmTracker();
  tracker.onRunState("suspended");
  tracker.onWakeAsked();
  assertEquals(tracker.onEvent({ name: "WAKEUP", data: {} }, 1), { state: RUNNING, detail: HOST_REQUEST });
});

Deno.test("a VM that was suspended and is resumed is asked for its state: QEMU 9 and later resume it suspended", () => {
  const tracker = new VmTracker();
  const tell = tells(tracker);
  tracker.onRunState("suspended");
  tracker.onStopAsked(1);
  assertEquals(tell("STOP"), [PAUSED, HOST_REQUEST]);
  tracker.onStopAsked(-1);
  tracker.onResumeAsked(1);
  assertEquals(tell("RESUME"), "ask");
  assertEquals(tracker.onRunState("suspended"), { state: SUSPENDED, detail: GUEST_REQUEST });
  assertEquals(tell("WAKEUP"), [RUNNING, NONE]);
  assertEquals(tell("STOP"), "ask");
  tracker.onRunState("paused");
  assertEquals(tell("RESUME"), [RUNNING, HOST_REQUEST], "it was awake when it was stopped");
});

Deno.test("a reset of a suspended VM leaves it where QEMU says, and the run that follows is told", () => {
  const tracker = new VmTracker();
  const tell = tells(tracker);
  tracker.onRunState("suspended");
  const host = { reason: "host-qmp-system-reset" };
  assertEquals(tell("RESET", host), [RESET, HOST_REQUEST, "verify"]);
  assertEquals(tracker.current.state, SUSPENDED, "not awake before QEMU says so");
  assertEquals(tracker.onRunState("prelaunch"), { state: PAUSED, detail: HOST_REQUEST });
  assertEquals(tell("RESUME", {}, 90 * SECOND), "ask");
  assertEquals(tracker.onRunState("running"), { state: RUNNING, detail: NONE });
  assertEquals(tell("STOP"), "ask");
});

Deno.test("what nobody explained is taken at its word", () => {
  const tracker = new VmTracker();
  tracker.onRunState("running");
  assertEquals(tracker.onUnexplained("STOP"), { state: PAUSED, detail: HOST_REQUEST });
  assertEquals(tracker.onUnexplained("RESUME"), { state: RUNNING, detail: HOST_REQUEST });
  assertEquals(tracker.onUnexplained("RESUME"), undefined, "told already");
  assertEquals(tracker.onUnexplained("RESET"), undefined);
});

Deno.test("an event that nobody knows is nothing", () => {
  assertEquals(running()("OF_A_YOUNGER_QEMU", { action: "pause" }), "nothing");
});

Deno.test("a connection that does not come about has its reason", () => {
  const reason = (errno: number) => connectLoss(new OsError("connect to /x", errno)).reason;
  assertEquals(reason(13), SEAM_REASON.NO_PERMISSION);
  assertEquals(reason(2), SEAM_REASON.PROCESS_GONE);
  assertEquals(reason(111), SEAM_REASON.PROCESS_GONE);
  assertEquals(reason(91), SEAM_REASON.PROTOCOL_ERROR);
  assertEquals(connectLoss(new OsError("connect to /x", 11)), HELD);
});
