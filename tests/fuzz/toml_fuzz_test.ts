/** The config and the trigger files: TOML, line by line and key by key. */
import { assert } from "@std/assert";
import { MAX_ENDPOINTS } from "../../src/base/limits.ts";
import { nameDefect, parseConfig, parseEndpointTable } from "../../src/daemon/config.ts";
import { scanToml } from "../../src/toml/toml_lines.ts";
import { fuzz } from "./harness.ts";

const decoder = new TextDecoder();
const CONFIGS = [
  `[daemon]
socket = "/run/vmsig/control.sock"
log = 'debug'
max_controls = 1_024
realtime = false
`,
  `[[endpoint]]
name = "web" # a comment
qmp = "/run/web.qmp"

[[endpoint]]
name = "db"
vmid = 0x7
`,
  `[[admission]]
user = "op"
endpoints = ["web", "db"]
caps = [ "observe",
  "input" ]
arb_prio = 20
`,
  `[[policy]]
source = "frame"
dir = "up"
min_gap_ns = 1000
[discovery]
probe = true
`,
  `[write]
extents = [{ endpoint = "web", space = "process", from = "0x1000", to = "0x2000" }]
[[channel]]
name = "c"
`,
  "",
];
const WORDS = [
  "[",
  "]",
  "[[",
  "]]",
  "{",
  "}",
  '"',
  "'",
  '"""',
  "'''",
  "=",
  ".",
  ",",
  "#",
  "\n",
  "\\",
  "\\u0041",
  "\\ud800",
]
  .concat([
    "[daemon]\n",
    "[[endpoint]]\n",
    "[discovery]\n",
    "[[channel]]\n",
    "[write]\n",
    "[[write.extents]]\n",
    'name = "x"\n',
  ])
  .concat([
    "__proto__",
    "constructor",
    '"a.b"',
    "a.b.c",
    "true",
    "inf",
    "nan",
    "1979-05-27T07:32:00Z",
    "1e400",
    "0b1",
    "\r\n",
  ])
  .concat([
    "users = []\n",
    "order = 6\n",
    'endpoints = ["*"]\n',
    'caps = ["*"]\n',
    "uid = 0\n",
    'prio = "high"\n',
    "probe = false\n",
  ]);
const OPENERS = ["[", "{a=", "a=[", "[[", "a.", '"', "[a.", "a={a="];

fuzz({
  name: "config",
  corpus: () => CONFIGS,
  largest: 8192,
  words: WORDS,
  openers: OPENERS,
  decode: (input) => {
    const config = parseConfig(decoder.decode(input), "it");
    assert(config.endpoints.length <= MAX_ENDPOINTS);
    for (const endpoint of config.endpoints) assert(nameDefect(endpoint.name) === undefined);
    return config.endpoints.length > 0 ? "endpoints" : "none";
  },
  mustMeet: ["endpoints", "none", "fault:bad-argument"],
});

fuzz({
  name: "trigger file",
  corpus: () => [
    'name = "web"\nqmp = "/run/web.qmp"\nvmid = 100\nmemory = "memfd"\ninput = "qmp"\nguest = "linux"\n',
    "name='a'",
  ],
  largest: 65_536,
  words: WORDS,
  openers: OPENERS,
  decode: (input, random) => {
    const text = decoder.decode(input);
    if (random.oneIn(4)) {
      const scan = scanToml(text);
      if (!scan.ok) return "a defect";
      for (const line of scan.lines.values()) assert(line >= 1 && line <= text.length + 1);
      return "scanned";
    }
    const endpoint = parseEndpointTable(text, "it");
    assert(nameDefect(endpoint.name) === undefined);
    return endpoint.qmp === undefined ? "without a monitor" : "with a monitor";
  },
  mustMeet: ["scanned", "a defect", "with a monitor", "without a monitor", "fault:bad-argument"],
});
