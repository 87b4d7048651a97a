// Monitors and programs: what a command line says of them.
import { assert, assertEquals } from "@std/assert";
import { CommandLine } from "../../../src/qemu/command_line.ts";
import { isQemuProgram, mapsAsQemu, saysQemu } from "../../../src/qemu/program.ts";
import { qmpOffersOf } from "../../../src/qemu/qmp_offers.ts";

const offers = (...words: string[]) => qmpOffersOf(new CommandLine(words));

Deno.test("-qmp and -mon over a chardev are found, the human monitor and TCP are not", () => {
  assertEquals(
    offers(
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
      "-qmp",
      "unix:/run/calls-out.sock",
      "-mon",
      "chardev=mon1,mode=control",
      "-mon",
      "chardev=serial",
      "-mon",
      "chardev=nowhere,mode=control",
    ),
    [
      { path: "/run/one.sock", listens: true },
      { path: "rel/two.sock", listens: true },
      { path: "/run/calls-out.sock", listens: false },
      { path: "/run/a,b.sock", listens: true },
    ],
  );
  assertEquals([offers("-qmp"), offers()], [[], []]);
  for (
    const [keys, offer] of [
      ["server=off,reconnect=1", { listens: false, reconnects: true }],
      ["reconnect-ms=500", { listens: false, reconnects: true }],
      ["reconnect=0", { listens: false }],
      ["server=on,reconnect=1", { listens: true }],
    ] as const
  ) {
    const chardev = `socket,id=m,path=/run/a,${keys}`;
    assertEquals(offers("-chardev", chardev, "-mon", "chardev=m,mode=control"), [{
      path: "/run/a",
      ...offer,
    }]);
  }
});

Deno.test("a QEMU's program is known by its name, wrapped, versioned or replaced on disk", () => {
  for (
    const path of [
      "/usr/bin/qemu-system-x86_64",
      "/nix/store/x-qemu-8.2/bin/.qemu-system-x86_64-wrapped",
      "/usr/libexec/qemu-kvm",
      "/usr/bin/kvm",
      "/opt/qemu-system-x86_64 (deleted)",
    ]
  ) assert(isQemuProgram(path), path);
  for (
    const path of [
      "/usr/bin/qemu-img",
      "/usr/bin/qemu-ga",
      "/usr/bin/kvm-ok",
      "",
      "/home/qemu-system-x86_64/sh",
    ]
  ) {
    assert(!isQemuProgram(path), path);
  }
});

Deno.test("a QEMU under another name is known by what it says, whoever starts one is not", () => {
  const says = (line: string) => saysQemu(line.split(" "));
  for (
    const line of [
      "vmm -name web -machine q35 -qmp unix:/run/web.qmp,server=on,wait=off",
      "/opt/patched/emulator -nodefaults -S -M pc -chardev socket,id=c,path=/c,server=on -mon chardev=c,mode=control",
      "vmm --qmp unix:/q,server --accel tcg disk.img",
      "vmm -name -dash -m 1G -qmp unix:/q,server -unknown x",
    ]
  ) assert(says(line), line);
  for (
    const line of [
      "timeout 60 qemu-system-x86_64 -machine q35 -qmp unix:/q",
      "setpriv --pdeathsig KILL qemu-system-x86_64 -machine q35 -qmp unix:/q",
      "env -S qemu-system-x86_64 -machine q35 -qmp unix:/q",
      "python3 start.py -machine q35 -qmp unix:/q",
      "vmm -machine q35",
      "vmm -qmp unix:/q",
      "vmm -qmp",
      "vmm",
      "",
    ]
  ) assert(!says(line), line);
});

Deno.test("a QEMU is known by what it maps", () => {
  assert(mapsAsQemu("7f 00:0c 1 anon_inode:kvm-vcpu:0\n"));
  assert(mapsAsQemu("7f 00:01 2 /memfd:memory-backend-memfd (deleted)\n"));
  assert(mapsAsQemu("7f 08:01 3 /usr/lib/x86_64-linux-gnu/libfdt-1.6.1.so\n"));
  assert(mapsAsQemu("7f 08:01 3 /usr/lib/libpixman-1.so.0.42.2\n"));
  assert(!mapsAsQemu("7f 08:01 3 /usr/bin/python3.11\n"));
});
