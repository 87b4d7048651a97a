// Monitors on a QEMU command line.
import { assertEquals } from "@std/assert";
import { qmpSocketsIn } from "../../../../src/controls/perception/qmp_sockets.ts";

Deno.test("-qmp and -mon over a chardev are found, the human monitor and TCP are not", () => {
  const words = [
    "qemu-system-x86_64",
    "-chardev",
    "socket,id=mon1,path=/run/a,,b.sock,server=on,wait=off",
    "-chardev",
    "socket,id=serial,path=/run/serial.sock,server=on",
    "-monitor",
    "unix:/run/human.sock,server",
    "-qmp",
    "unix:/run/one.sock,server=on,wait=off",
    "-qmp",
    "tcp:localhost:4444,server",
    "--qmp",
    "unix:rel/two.sock,server",
    "-mon",
    "chardev=mon1,mode=control",
    "-mon",
    "chardev=serial",
    "-mon",
    "chardev=nowhere,mode=control",
  ];
  assertEquals(qmpSocketsIn(words), ["/run/one.sock", "rel/two.sock", "/run/a,b.sock"]);
  assertEquals(qmpSocketsIn(["qemu", "-qmp"]), []);
  assertEquals(qmpSocketsIn([]), []);
});
