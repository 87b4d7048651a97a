/**
 * Makes the adapter of the INPUT seam, with the driver that the config names.
 * @module
 */
import type { Adapter } from "../../core/adapter_port.ts";
import type { EndpointBasics, SeamParts } from "../seam.ts";
import { HeldFile, heldPath } from "./held_file.ts";
import { InputAdapter } from "./input_adapter.ts";
import type { InputDriver } from "./input_driver.ts";
import type { InputConfig } from "./input_seam.ts";
import { QmpInputDriver } from "./qmp_input_driver.ts";
import { UinputDriver } from "./uinput_driver.ts";

/** Makes it; null when the endpoint has none. */
export function makeInput(config: EndpointBasics & InputConfig, parts: SeamParts): Adapter | null {
  const driver = driverOf(config, parts);
  if (driver === null) return null;
  const log = parts.log.for(`input[${config.name}]`);
  return new InputAdapter(driver, new HeldFile(heldPath(parts.runtimeDir, config.name), log));
}

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
