import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { exitCodeOf, Fault } from "../../../src/base/fault.ts";
import { check, ERRNO, isOsError, OsError } from "../../../ffi/os_error.ts";
import "./loaded_shim.ts";

Deno.test("an error says which call, what went wrong, and its symbol", () => {
  const error = new OsError("open /nowhere", -ERRNO.ENOENT, "make it");
  assertEquals(error.message, "Cannot open /nowhere: No such file or directory (ENOENT); make it");
  assertEquals(error.errno, ERRNO.ENOENT);
  assertEquals(error.errnoName, "ENOENT");
  assertEquals(error.call, "open /nowhere");
  assertEquals(error.name, "OsError");
  assert(error instanceof Fault);
  assertEquals(exitCodeOf(error), 1);
});

Deno.test("every number of ERRNO has the name that the C library gives it", () => {
  for (const [name, number] of Object.entries(ERRNO)) assertEquals(new OsError("x", number).errnoName, name);
});

Deno.test("an errno without a name is told by its number", () => {
  assertEquals(new OsError("x", 3999).message, "Cannot x: unknown error (E3999)");
});

Deno.test("the fault's code follows the errno", () => {
  assertEquals(new OsError("x", ERRNO.EBUSY).code, "busy");
  assertEquals(new OsError("x", ERRNO.EINVAL).code, "bad-argument");
  assertEquals(new OsError("x", ERRNO.ENOSYS).code, "not-supported");
  assertEquals(new OsError("x", ERRNO.EACCES).code, "refused");
});

Deno.test("check passes a result and throws an error", () => {
  assertStrictEquals(check(0, "x"), 0);
  assertStrictEquals(check(7, "x"), 7);
  const error = assertThrows(() => check(-ERRNO.EMFILE, "accept4"), OsError);
  assert(isOsError(error, "EMFILE"));
  assert(!isOsError(error, "ENFILE"));
  assert(!isOsError(new Error("x"), "EMFILE"));
});
