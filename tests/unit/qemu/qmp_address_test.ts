import { assertEquals, assertMatch } from "@std/assert";
import { isIpv4, isIpv6, readQmpAddress } from "../../../src/qemu/qmp_address.ts";

Deno.test("a monitor's place: a path, an address and a port, localhost; nothing that must be looked up", () => {
  assertEquals(readQmpAddress("/run/a b.qmp", []), { kind: "unix", path: "/run/a b.qmp" });
  const tcp = (text: string) => {
    const place = readQmpAddress(text, ["libvirt"]);
    return place.kind === "tcp" ? [...place.hosts, place.port] : place.kind;
  };
  assertEquals(tcp("tcp:127.0.0.1:4444"), ["127.0.0.1", 4444]);
  assertEquals(tcp("tcp:[::1]:65535"), ["::1", 65535]);
  assertEquals(tcp("tcp:::1:4444"), ["::1", 4444]);
  assertEquals(tcp("tcp:localhost:1"), ["127.0.0.1", "::1", 1]);
  const why = (text: string) => {
    const place = readQmpAddress(text, ["libvirt"]);
    return place.kind === "invalid" ? place.why : place.kind;
  };
  assertMatch(why("run/a"), /must be an absolute path, tcp:HOST:PORT, listen:\/PATH or libvirt:NAME/);
  assertEquals(readQmpAddress("libvirt:a web", ["other", "libvirt"]), {
    kind: "host",
    host: "libvirt",
    vm: "a web",
  });
  for (const vm of ["", "a/b", "a\0b", "a\nb", "x".repeat(256)]) {
    assertMatch(why(`libvirt:${vm}`), /names no VM of libvirt; it must be libvirt:NAME/, vm);
  }
  assertMatch(why("other:web"), /must be an absolute path, tcp:HOST:PORT, listen:\/PATH or libvirt:NAME/);
  assertMatch(why("/a\0b"), /NUL/);
  assertMatch(why(`/${"x".repeat(107)}`), /longer than the 107 bytes/);
  assertMatch(why("tcp:web.example:4444"), /IPv4 or IPv6 address, or localhost: names are not looked up/);
  for (const host of ["", "[localhost]", "[127.0.0.1]", "[::1", "127.1", "0x7f.0.0.1", "fe80::1%eth0"]) {
    assertMatch(why(`tcp:${host}:4444`), /its host must be/, host);
  }
  for (const port of ["", "0", "65536", "-1", "0x10", "1 ", "99999999999"]) {
    assertMatch(why(`tcp:127.0.0.1:${port}`), /its port must be 1 to 65535/, port);
  }
  assertEquals(readQmpAddress("listen:/run/a b.qmp", []), { kind: "listen", path: "/run/a b.qmp" });
  for (const path of ["", "run/a", "127.0.0.1:4444", "tcp:127.0.0.1:4444", "/run/", "/"]) {
    assertMatch(
      why(`listen:${path}`),
      /must be listen:\/PATH, .* over TCP nobody could tell which user/,
      path,
    );
  }
  assertMatch(why("listen:/a\0b"), /NUL/);
  assertMatch(why(`listen:/${"x".repeat(107)}`), /longer than the 107 bytes/);
  assertMatch(why("tcp:4444"), /tcp:HOST:PORT/);
});

Deno.test("addresses are those that the standards have, and no shorter or longer ones", () => {
  for (const text of ["0.0.0.0", "255.255.255.255"]) assertEquals(isIpv4(text), true, text);
  for (const text of ["1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.", " 1.2.3.4"]) {
    assertEquals(isIpv4(text), false, text);
  }
  for (
    const text of [
      "::",
      "::1",
      "1::",
      "1:2:3:4:5:6:7:8",
      "::ffff:1.2.3.4",
      "fe80::1:2",
      "1:2:3:4:5:6:1.2.3.4",
    ]
  ) {
    assertEquals(isIpv6(text), true, text);
  }
  for (
    const text of [
      "",
      ":",
      ":::",
      "1:2",
      "1::2::3",
      "1:2:3:4:5:6:7:8:9",
      "1:2:3:4:5:6:7::8",
      "12345::",
      "1.2.3.4::",
      "g::",
    ]
  ) assertEquals(isIpv6(text), false, text);
});
