/**
 * Makes the adapter of the INPUT seam, with the driver that the config names.
 * @module
 */
import type { SeamMaker, SeamParts } from "../seam.ts";
import { StubInputDriver } from "../stub/stub_input_driver.ts";
import { HeldFile, heldPath } from "./held_file.ts";
import { InputAdapter } from "./input_adapter.ts";
import type { InputDriver } from "./input_driver.ts";
import type { InputConfig } from "./input_seam.ts";
import { QmpInputDriver } from "./qmp_input_driver.ts";
import { UinputDriver } from "./uinput_driver.ts";

/** The maker. */
export const INPUT_MAKER: SeamMaker<InputConfig> = {
  make(config, parts) {
    const driver = driverOf(config, parts);
    if (driver === null) return null;
    const log = parts.log.for(`input[${config.name}]`);
    return new InputAdapter(driver, new HeldFile(heldPath(parts.runtimeDir, config.name), log));
  },
  makeStub: ({ machine }) => new InputAdapter(new StubInputDriver(machine)),
};

function driverOf({ input }: InputConfig, { link }: SeamParts): InputDriver | null {
  switch (input) {
    case "qmp":
      return link === null ? null : new QmpInputDriver(link);
    case "uinput":
      // Devices that QEMU was given work without a monitor, too.
      return new UinputDriver(link === null ? {} : { link });
    case "none":
      return null;
  }
}
