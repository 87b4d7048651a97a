/**
 * Descriptors and mappings of a whole process before and after everything in ffi/ was used many times: in a
 * process of its own, where nothing else opens any.
 * @module
 */
import { assertEquals } from "@std/assert";

Deno.test("two hundred turns through ffi/ leave no descriptor and no mapping", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--no-check",
        "--no-config",
        new URL("leak_program.ts", import.meta.url).pathname,
        folder,
      ],
    }).output();
    assertEquals(new TextDecoder().decode(stderr), "");
    assertEquals(code, 0);
    assertEquals(JSON.parse(new TextDecoder().decode(stdout)), {
      owned: 0,
      memfdMappings: 0,
    });
    assertEquals([...Deno.readDirSync(folder)], []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
