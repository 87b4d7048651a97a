/**
 * The commands, in the order of the help. Each is loaded only when it is used, so that `vmsig version` does
 * not load `vmsig mem`. To add one: a file in this folder, and an entry here.
 *
 * The file's URL is computed when it is loaded. Deno reads and keeps every module named by a literal import
 * before the program starts: all commands together are 500 files, which cost the daemon 100 ms and 9 MB.
 * @module
 */
import type { CommandEntry, CommandModule } from "./command.ts";

/** Loads the command NAME, which NAME.ts in this folder exports under that name. */
function moduleOf(name: string): () => Promise<CommandModule> {
  // scripts/build/bundle.ts replaces this location.
  const url = new URL(`./${name}.ts`, import.meta.url);
  return async () => (await import(url.href))[name];
}

/** Command name to its entry. */
export const COMMANDS: Readonly<Record<string, CommandEntry>> = {
  serve: {
    summary: "run the daemon in the foreground",
    usage: ["serve [--config FILE] [--socket PATH] [--stub N [--stub-rate HZ]]"],
    load: moduleOf("serve"),
  },
  ls: {
    summary: "list the endpoints (VMs) and their seams",
    usage: ["ls [--wide]"],
    load: moduleOf("ls"),
  },
  watch: {
    summary: "print events as they come",
    usage: [
      "watch [ENDPOINT…] [--source S,…] [--kind K,…] [--count N] [--for MS]",
      "watch --memory ENDPOINT:PID:ADDRESS:SIZE… [--rate HZ] [--count N] [--for MS]",
    ],
    load: moduleOf("watch"),
  },
  vm: {
    summary: "query, stop, continue or reset a VM; save and load its snapshots",
    usage: [
      "vm ENDPOINT query|stop|cont|reset|powerdown|wakeup|quit [--timeout MS]",
      "vm ENDPOINT snapshots | save NAME | load SNAPSHOT | delete SNAPSHOT [--timeout MS]",
    ],
    load: moduleOf("vm"),
  },
  lease: {
    summary: "show who owns a VM's input, power, memory writes, …, or acquire them",
    usage: [
      "lease ENDPOINT input|power|memwrite|console|agent status",
      "lease ENDPOINT input|power|memwrite|console|agent hold [--ttl MS] [--wait] [--message WHY] [-- COMMAND…]",
    ],
    load: moduleOf("lease"),
  },
  key: {
    summary: "press keys: ctrl-alt-delete",
    usage: ["key ENDPOINT CHORD…"],
    load: moduleOf("key"),
  },
  type: {
    summary: "type text, in the guest's keyboard layout",
    usage: ["type ENDPOINT TEXT [--layout NAME]"],
    load: moduleOf("type"),
  },
  mouse: {
    summary: "move, click, drag, scroll",
    usage: [
      "mouse ENDPOINT move X Y | click [left|middle|right] | down B | up B | drag X1 Y1 X2 Y2 | scroll N",
    ],
    load: moduleOf("mouse"),
  },
  held: {
    summary: "show which keys and buttons are held down",
    usage: ["held ENDPOINT"],
    load: moduleOf("held"),
  },
  screen: {
    summary: "take a picture of a VM's screen",
    usage: [
      "screen ENDPOINT [-o FILE.png|-] [--watch DIR] [--text] [--head N] [--scale F]",
      "screen pid:N [-o FILE.png|-] [--scale F] [--source vgpu|qmp|auto]",
    ],
    load: moduleOf("screen"),
  },
  vnc: {
    summary: "serve a VM's screen, keyboard and mouse to VNC viewers",
    usage: [
      "vnc ENDPOINT [--listen unix:PATH|127.0.0.1:PORT] [--password-file FILE] [--view-only] [--take key|click|connect]",
    ],
    load: moduleOf("vnc"),
  },
  web: {
    summary: "serve a web page where people watch VMs and take one over",
    usage: ["web [--listen 127.0.0.1:PORT|unix:PATH] [--tokens FILE] [--link] [--origin ORIGIN,…]"],
    load: moduleOf("web"),
  },
  console: {
    summary: "use a VM's serial console, in this terminal or from a script",
    usage: [
      "console ENDPOINT [--port N] [--read-only] [--backlog]",
      "console ENDPOINT --expect RE --send TEXT [--timeout MS] [--port N] [--backlog]",
      "console ENDPOINT list",
    ],
    load: moduleOf("console"),
  },
  exec: {
    summary: "run a program in a guest, through its agent",
    usage: ["exec ENDPOINT [--timeout MS] [--env NAME=VALUE] [--stdin] -- COMMAND…"],
    load: moduleOf("exec"),
  },
  cp: {
    summary: "copy a file to or from a guest, through its agent",
    usage: ["cp FILE|- ENDPOINT:PATH", "cp ENDPOINT:PATH FILE|-"],
    load: moduleOf("cp"),
  },
  agent: {
    summary: "query a guest's agent; shut down or suspend the guest, freeze its file systems",
    usage: [
      "agent ENDPOINT ping|info|os|network|users|filesystems|freeze-status",
      "agent ENDPOINT shutdown|reboot|halt|suspend|thaw",
      "agent ENDPOINT freeze [-- COMMAND…]",
    ],
    load: moduleOf("agent"),
  },
  wait: {
    summary: "wait for a text, a picture, a process or a state of a VM",
    usage: [
      "wait ENDPOINT --text RE [--fresh] [--timeout MS]",
      "wait ENDPOINT --image FILE.png [--area X,Y,W,H] [--tolerance N] [--fresh] [--timeout MS]",
      "wait ENDPOINT --still MS|--change [--area X,Y,W,H] [--timeout MS]",
      "wait ENDPOINT --process NAME|--state S|--ready [--timeout MS]",
    ],
    load: moduleOf("wait"),
  },
  mcp: {
    summary: "serve VMs to a language model over MCP: tools to look, click, type and wait",
    usage: ["mcp [--listen ADDRESS --tokens FILE] [--endpoint NAME]… [--read-only] [--no-power]"],
    load: moduleOf("mcp"),
  },
  ask: {
    summary: "list and answer the questions that models ask people",
    usage: ["ask [list]", "ask answer QUESTION-ID TEXT"],
    load: moduleOf("ask"),
  },
  vgpu: {
    summary: "show and set the state of a guest's vgpu producer",
    usage: [
      "vgpu ENDPOINT|pid:N status|cursor|geometry",
      "vgpu ENDPOINT set [--state S] [--fps N] [--draw-cursor 0|1] [--full-frame] [--timeout MS]",
    ],
    load: moduleOf("vgpu"),
  },
  v2v: {
    summary: "pipe messages or bytes through a shared-memory channel",
    usage: [
      "v2v listen PREFIX [--stream] [--order N] [--ivshmem PATH] [--wait MS]",
      "v2v connect PREFIX [--stream] [--ivshmem PATH] [--wait MS]",
      "v2v bench [NAME…]",
    ],
    load: moduleOf("v2v"),
  },
  record: {
    summary: "record events to a file",
    usage: [
      "record -o FILE [--for MS] [--max-size MIB] [--keep N]",
      "record --trace FILE [--for MS]",
    ],
    load: moduleOf("record"),
  },
  trace: {
    summary: "make one HTML page of a recording: actions, pictures, events, consoles",
    usage: ["trace RECORDING [-o FILE.html] [--gif FILE] [--mp4 FILE]"],
    load: moduleOf("trace"),
  },
  replay: {
    summary: "play a recording back to controls, without the VM",
    usage: ["replay FILE [--speed N]"],
    load: moduleOf("replay"),
  },
  probe: {
    summary: "list the QEMUs on this host, and what each needs to be attached",
    usage: ["probe"],
    load: moduleOf("probe"),
  },
  join: {
    summary: "connect this host to a NATS server: roster, events, requests, audit",
    usage: [
      "join URL [--host NAME] [--creds FILE] [--events S,…] [--always S,…] [--no-requests] [--metrics FILE]",
      "join URL --create [--creds FILE] [--audit-days N] [--replicas N]",
    ],
    load: moduleOf("join"),
  },
  outcome: {
    summary: "what became of a command on another host whose answer did not come",
    usage: ["outcome ID [--timeout MS]"],
    load: moduleOf("outcome"),
  },
  doctor: {
    summary: "check what vmsig lacks on this machine, and how to fix it",
    usage: ["doctor [--security] [--config FILE]"],
    load: moduleOf("doctor"),
  },
  mem: {
    summary: "read and write a guest's memory; list its processes, mappings, modules",
    usage: [
      "mem ENDPOINT|pid:N|file:PATH info | ps [--long] | maps PID | modules",
      "mem ENDPOINT|pid:N|file:PATH dmesg [--last N] | files PID | sockets [PID] | env PID | mounts [PID]",
      "mem ENDPOINT|pid:N|file:PATH sym NAME|ADDR | type NAME",
      "mem ENDPOINT|pid:N|file:PATH print 'TYPE GVA|SYMBOL' [--follow FIELD,…]",
      "mem ENDPOINT|pid:N|file:PATH read PID|kernel GVA|SYMBOL LEN [--raw]",
      "mem ENDPOINT|pid:N write PID|kernel GVA HEX",
      "mem ENDPOINT|pid:N|file:PATH find PID|kernel HEX [--limit N]",
      "mem ENDPOINT|pid:N|file:PATH dump FILE [--pid N]",
      "mem ENDPOINT|pid:N|file:PATH symbols FILE [--isf]",
    ],
    load: moduleOf("mem"),
  },
  gdb: {
    summary: "serve a VM, or a process in its guest, to gdb",
    usage: ["gdb ENDPOINT [--pid N] [--listen unix:PATH|127.0.0.1:PORT]"],
    load: moduleOf("gdb"),
  },
  version: {
    summary: "print the versions of vmsig, its protocol and its runtime",
    usage: ["version"],
    load: moduleOf("version"),
  },
};
