/**
 * A control that was written from src/event/PROTOCOL.md alone, in another language, against the real daemon
 * and a real QEMU: every promise of that page that a stranger can try, a named point each.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals } from "@std/assert";
import { DaemonProcess } from "../fixtures/daemon_process.ts";
import { startFirmware } from "./qemu.ts";

const PROGRAM = new URL("../python/foreign_control.py", import.meta.url).pathname;
/** The issue asks for this many. */
const LEAST_POINTS = 44;
const WEAK = 65_533;
const STRONG = 65_532;
const STRANGER = 65_531;

const RULES = `
[[admission]]
uid = 0
endpoints = ["*"]
caps = ["*"]
arb_prio = 10
[[admission]]
uid = ${WEAK}
endpoints = ["vm"]
caps = ["observe", "input", "roster"]
arb_prio = 5
[[admission]]
uid = ${STRONG}
endpoints = ["vm"]
caps = ["*"]
arb_prio = 20
`;

Deno.test({
  name: "a foreign control: what PROTOCOL.md promises holds, point by point",
  // It joins as several users.
  ignore: Deno.uid() !== 0,
  fn: async () => {
    await using vm = await startFirmware();
    const folder = await Deno.makeTempDir({ prefix: "vmsig-foreign-" });
    try {
      await Deno.chmod(folder, 0o755);
      const endpoints = `
[[endpoint]]
name = "vm"
vmid = 1
qmp = "${vm.qmpPaths[0]}"
input = "qmp"
guest = "none"
[[endpoint]]
name = "away"
vmid = 2
qmp = "${folder}/nobody.qmp"
`;
      await using daemon = await DaemonProcess.start({ folder, config: RULES + endpoints });
      const { code, stdout, stderr } = await new Deno.Command("python3", {
        args: [PROGRAM, daemon.socket, `${WEAK}`, `${STRONG}`, `${STRANGER}`],
        stdout: "piped",
        stderr: "piped",
      }).output();
      const text = new TextDecoder().decode(stdout);
      console.log(text);
      assertEquals(code, 0, text + new TextDecoder().decode(stderr));
      const points = text.split("\n").filter((line) => line.startsWith("holds: "));
      assert(new Set(points).size >= LEAST_POINTS, `${points.length} points`);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
