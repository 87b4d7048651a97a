/**
 * Texts of /proc and of /etc: the mappings of a process, in which names of its files stand, and the tables of
 * users and groups.
 */
import { assert } from "@std/assert";
import { UserDatabase } from "../../src/access/user_database.ts";
import { ManualClock } from "../../src/base/clock.ts";
import { parseHostMaps } from "../../src/ram/process_maps.ts";
import { fuzz } from "./harness.ts";

const decoder = new TextDecoder();
const MAPS =
  `559d1f000000-559d1f200000 r--p 00000000 08:01 1312345                    /usr/bin/qemu-system-x86_64
7f1200000000-7f1280000000 rw-s 00000000 00:01 2049                       /memfd:memory-backend-memfd (deleted)
7f12a0000000-7f12a0021000 rw-p 00000000 00:00 0
7f12b0000000-7f12b0001000 rw-s 00000000 00:18 77                         /dev/shm/a b\\012c
7ffd1c000000-7ffd1c021000 rw-p 00000000 00:00 0                          [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
`;

const LONG_NUMBER = /[0-9a-f]{17}/;

fuzz({
  name: "/proc/PID/maps",
  corpus: () => [MAPS, MAPS.slice(100), ""],
  largest: 16_384,
  words: [
    "\n",
    " ",
    "rw-s",
    "rw-p",
    "00000000",
    "ffffffffffffffff",
    "7f12-7f13 rw-s 0 00:01 1 /x\n",
    "/memfd:ram (deleted)",
  ],
  decode: (input) => {
    const text = decoder.decode(input);
    const mappings = parseHostMaps(text);
    // The kernel writes at most 16 digits.
    if (!LONG_NUMBER.test(text)) {
      for (const { start, sizeBytes, offset, inode } of mappings) {
        assert([start, sizeBytes, offset, inode].every(Number.isFinite), "numbers");
      }
    }
    return mappings.some((mapping) => mapping.shared) ? "shared" : mappings.length > 0 ? "private" : "none";
  },
  mustMeet: ["shared", "private", "none"],
});

const PASSWD =
  "root:x:0:0:root:/root:/bin/bash\nweb:x:1000:1000:,,,:/home/web:/bin/sh\n# a comment\nop:x:4242:100::/:/bin/false\n";
const GROUP = "root:x:0:\nusers:x:100:web,op\nkvm:x:108:op,,web \nweb:x:1000:\n";

fuzz({
  name: "/etc/passwd and /etc/group",
  corpus: () => [
    `${PASSWD}\0${GROUP}`,
    `\0${GROUP}`,
    PASSWD,
    "toString:x:1:2:::\0__proto__:x:2:constructor,toString\n",
  ],
  largest: 16_384,
  words: [
    "\0",
    "\n",
    ":",
    ",",
    "op:x:4242:100:::\n",
    "users:x:100:web\n",
    "4294967295",
    "4294967294",
    "-1",
    "__proto__:x:5:5:::\n",
  ],
  decode: (input) => {
    // A text whose last line is not whole is one that is being written.
    const [passwd = "", group = ""] = decoder.decode(input).split("\0", 2).map((text) =>
      text.replace(/[^\n]$/, "$&\n")
    );
    const users = new UserDatabase((path) => path === "/etc/passwd" ? passwd : group, new ManualClock());
    for (const name of ["root", "web", "op", "toString", "__proto__", ""]) {
      const [uid, gid] = [users.uidOf(name), users.gidOf(name)];
      for (const id of [uid, gid]) {
        assert(id === undefined || (Number.isInteger(id) && id >= 0 && id <= 0xffff_fffe));
      }
      if (uid === undefined) {
        assert(name === "" || !new RegExp(`(^|\\n)${name}:[^:\\n]*:[0-9]{1,9}:[0-9]{1,9}:`).test(passwd));
      }
    }
    return users.isMember(4242, 108) ? "listed" : users.isMember(4242, 100) ? "member" : "no member";
  },
  mustMeet: ["listed", "member", "no member"],
});
