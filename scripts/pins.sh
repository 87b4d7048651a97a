# The one place where versions are pinned. Sourced by the set-up scripts.

# The Deno that runs, tests and checks vmsig (npm package `deno`).
DENO_VERSION=2.9.6

# The oldest Deno the sources must run on. compile:check uses it, because it is the newest one for
# which a runtime base (denort) can be had from the npm registry alone: the first DENORT_BYTES bytes
# of the executable in DENORT_PACKAGE are denort of this very version. A test vehicle, never shipped.
DENO_OLDEST=2.4.2
DENORT_PACKAGE=@vltpkg/cli-linux-x64@0.0.0-18
DENORT_BYTES=85186368
DENORT_SHA256=2705685d7478610b98dcd43acecd457a19810146323041c8af8a88f7dd0b5e82
