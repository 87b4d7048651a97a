/**
 * Makes the code of the executable's quick commands (`executable/quick_script.ts`). Without it, as where the
 * executable is made for another machine, its short commands start some 15 ms later.
 * @module
 */
import { messageOf } from "../../src/base/fault.ts";
import { QUICK_CODE } from "./executable/quick_script.ts";

/**
 * Makes it, and sees that V8 takes it.
 *
 * @param maker the executable of `executable/code_maker.ts`
 * @param folder where it goes
 * @param tell takes why there is none
 * @returns the file's path in the folder; undefined when there is none
 */
export async function makeCode(
  maker: string,
  folder: string,
  tell: (line: string) => void,
): Promise<string | undefined> {
  const path = `out/${QUICK_CODE}`;
  try {
    for (let time = 0; time < 2; time++) {
      const { code, stderr } = await new Deno.Command(maker, {
        args: [`${folder}/${path}`],
        env: { NO_COLOR: "1" },
        stdin: "null",
        stdout: "null",
        stderr: "piped",
      }).output();
      if (code !== 0) throw new Error(`exit code ${code}: ${new TextDecoder().decode(stderr).trim()}`);
    }
    return path;
  } catch (error) {
    tell(
      `its short commands start a little later, because their code could not be made: ${messageOf(error)}`,
    );
    return undefined;
  }
}
