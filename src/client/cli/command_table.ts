/**
 * The commands, in the order in which the help lists them. Each is loaded only when it is chosen, so that
 * `vmsig version` does not pay for `vmsig mem`. To add one: a file of its own in this folder, and an entry
 * here.
 * @module
 */
import type { CommandEntry } from "./command.ts";

/** Command name to its entry. */
export const COMMANDS: Readonly<Record<string, CommandEntry>> = {
  serve: {
    summary: "run the daemon, in the foreground",
    usage: ["serve [--config FILE] [--socket PATH] [--stub N [--stub-rate HZ]]"],
    load: async () => (await import("./serve.ts")).serve,
  },
  ls: {
    summary: "list the endpoints: who is there, with which seams",
    usage: ["ls"],
    load: async () => (await import("./ls.ts")).ls,
  },
  watch: {
    summary: "print events as they come",
    usage: [
      "watch [ENDPOINT…] [--source S,…] [--kind K,…] [--count N] [--for MS]",
      "watch --memory ENDPOINT:PID:ADDRESS:SIZE… [--rate HZ] [--count N] [--for MS]",
    ],
    load: async () => (await import("./watch.ts")).watch,
  },
  vm: {
    summary: "query, stop, continue, reset, … a VM; save and load its snapshots",
    usage: [
      "vm ENDPOINT query|stop|cont|reset|powerdown|wakeup|quit [--timeout MS]",
      "vm ENDPOINT snapshots | save NAME | load NAME | delete NAME [--timeout MS]",
    ],
    load: async () => (await import("./vm.ts")).vm,
  },
  lease: {
    summary: "see who owns input, power, memory writes, … of a VM, or own it",
    usage: [
      "lease ENDPOINT input|power|memwrite|console|agent status",
      "lease ENDPOINT input|power|memwrite|console|agent hold [--ttl MS] [-- COMMAND…]",
    ],
    load: async () => (await import("./lease.ts")).lease,
  },
  key: {
    summary: "press keys: ctrl-alt-delete",
    usage: ["key ENDPOINT CHORD…"],
    load: async () => (await import("./key.ts")).key,
  },
  type: {
    summary: "type text, on the layout that the guest has",
    usage: ["type ENDPOINT TEXT [--layout NAME]"],
    load: async () => (await import("./type.ts")).type,
  },
  mouse: {
    summary: "move, click, drag, scroll",
    usage: [
      "mouse ENDPOINT move X Y | click [left|middle|right] | down B | up B | drag X1 Y1 X2 Y2 | scroll N",
    ],
    load: async () => (await import("./mouse.ts")).mouse,
  },
  held: {
    summary: "tell which keys and buttons are down",
    usage: ["held ENDPOINT"],
    load: async () => (await import("./held.ts")).held,
  },
  screen: {
    summary: "take a picture of a VM's screen",
    usage: [
      "screen ENDPOINT [-o FILE.png|-] [--watch DIR] [--text] [--head N] [--scale F]",
      "screen pid:N [-o FILE.png|-] [--scale F] [--source vgpu|qmp|auto]",
    ],
    load: async () => (await import("./screen.ts")).screen,
  },
  vnc: {
    summary: "serve a VM's screen, keyboard and mouse to VNC viewers",
    usage: [
      "vnc ENDPOINT [--listen unix:PATH|127.0.0.1:PORT] [--password-file FILE] [--view-only] [--take key|click|connect]",
    ],
    load: async () => (await import("./vnc.ts")).vnc,
  },
  web: {
    summary: "serve a page on which people see all VMs and take one over",
    usage: ["web [--listen 127.0.0.1:PORT|unix:PATH] [--tokens FILE] [--link] [--origin ORIGIN,…]"],
    load: async () => (await import("./web.ts")).web,
  },
  console: {
    summary: "a VM's serial console, on this terminal or as a script",
    usage: [
      "console ENDPOINT [--port N] [--read-only] [--backlog]",
      "console ENDPOINT --expect RE --send TEXT [--timeout MS] [--port N] [--backlog]",
      "console ENDPOINT list",
    ],
    load: async () => (await import("./console.ts")).console,
  },
  exec: {
    summary: "run a program in a guest, by its agent",
    usage: ["exec ENDPOINT [--timeout MS] [--env NAME=VALUE] [--stdin] -- COMMAND…"],
    load: async () => (await import("./exec.ts")).exec,
  },
  cp: {
    summary: "copy a file to a guest or from it, by its agent",
    usage: ["cp FILE|- ENDPOINT:PATH", "cp ENDPOINT:PATH FILE|-"],
    load: async () => (await import("./cp.ts")).cp,
  },
  agent: {
    summary: "what a guest's agent tells; shut the guest down, suspend it",
    usage: ["agent ENDPOINT ping|info|os|network|users|filesystems|shutdown|reboot|halt|suspend"],
    load: async () => (await import("./agent.ts")).agent,
  },
  wait: {
    summary: "wait for a text, a picture, a process, a state of a VM",
    usage: [
      "wait ENDPOINT --text RE [--fresh] [--timeout MS]",
      "wait ENDPOINT --image FILE.png [--area X,Y,W,H] [--tolerance N] [--fresh] [--timeout MS]",
      "wait ENDPOINT --still MS|--change [--area X,Y,W,H] [--timeout MS]",
      "wait ENDPOINT --process NAME|--state S|--ready [--timeout MS]",
    ],
    load: async () => (await import("./wait.ts")).wait,
  },
  mcp: {
    summary: "serve VMs to a model: tools that see, click, type and wait, by MCP",
    usage: ["mcp [--endpoint NAME]… [--read-only] [--no-power]"],
    load: async () => (await import("./mcp.ts")).mcp,
  },
  vgpu: {
    summary: "ask a guest's vgpu producer, or ask something of it",
    usage: [
      "vgpu ENDPOINT|pid:N status|cursor|geometry",
      "vgpu ENDPOINT set [--state S] [--fps N] [--draw-cursor 0|1] [--full-frame] [--timeout MS]",
    ],
    load: async () => (await import("./vgpu.ts")).vgpu,
  },
  v2v: {
    summary: "a record channel or byte stream over shared memory, as a pipe",
    usage: [
      "v2v listen PREFIX [--stream] [--order N] [--ivshmem PATH] [--wait MS]",
      "v2v connect PREFIX [--stream] [--ivshmem PATH] [--wait MS]",
      "v2v bench [NAME…]",
    ],
    load: async () => (await import("./v2v.ts")).v2v,
  },
  record: {
    summary: "write a session's events into a file",
    usage: ["record -o FILE [--for MS] [--max-size MIB] [--keep N]"],
    load: async () => (await import("./record.ts")).record,
  },
  replay: {
    summary: "play a recording to a control, without the VM",
    usage: ["replay FILE [--speed N]"],
    load: async () => (await import("./replay.ts")).replay,
  },
  probe: {
    summary: "tell what runs on this host, and what each VM lacks to be attached",
    usage: ["probe"],
    load: async () => (await import("./probe.ts")).probe,
  },
  doctor: {
    summary: "look at this machine: what vmsig lacks here, with the remedy",
    usage: ["doctor [--security] [--config FILE]"],
    load: async () => (await import("./doctor.ts")).doctor,
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
    ],
    load: async () => (await import("./mem.ts")).mem,
  },
  gdb: {
    summary: "serve a VM, or a process of its guest, to gdb",
    usage: ["gdb ENDPOINT [--pid N] [--listen unix:PATH|127.0.0.1:PORT]"],
    load: async () => (await import("./gdb.ts")).gdb,
  },
  version: {
    summary: "tell the versions of vmsig, its protocol and its runtime",
    usage: ["version"],
    load: async () => (await import("./version.ts")).version,
  },
};
