/** /proc/net/unix, into which every process of the host writes its sockets' paths; read in pieces. */
import { assert } from "@std/assert";
import { SocketTable } from "../../src/qemu/socket_table.ts";
import { fuzz } from "./harness.ts";

const decoder = new TextDecoder();
const UNIX = `Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 20001 /run/web.qmp
0000000000000000: 00000003 00000000 00000000 0001 03 20002 /run/web.qmp
ffff888004d3b800: 00000003 00000000 00000000 0001 03    25 @/tmp/.X11-unix/X0
0000000000000000: 00000003 00000000 00000000 0005 03 20003
0000000000000000: 00000003 00000000 00000000 0001 03 20004 /a path\\nwith a line end
`;

fuzz({
  name: "/proc/net/unix",
  corpus: () => [UNIX, UNIX.slice(0, 56), ""],
  largest: 65_536,
  words: [
    "\n",
    " 03 ",
    " 01 ",
    ": ",
    "/run/web.qmp",
    "00000003",
    "0000000000000000: 00000003 00000000 00000000 0001 03 2 /x\n",
  ],
  decode: (input, random) => {
    const text = decoder.decode(input);
    const table = new SocketTable(new Set(["/run/web.qmp", "/x"]));
    const most = 1 + (text.length >>> 6) + random.below(text.length + 1);
    for (let at = 0; at < text.length;) {
      const length = 1 + (text.length >>> 7) + random.below(most);
      table.take(text.slice(at, at + length));
      at += length;
    }
    for (const [path, numbers] of table.connected) {
      assert(path === "/run/web.qmp" || path === "/x", "only what was asked for");
      assert(numbers.length <= 64 && numbers.every((number) => /^[0-9]+$/.test(number)));
    }
    return table.connected.size > 0 ? "connected" : "none";
  },
  mustMeet: ["connected", "none"],
});
