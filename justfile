# Every recipe is a step of the gate or a command of cargo: nothing here needs `just`.

# Show the recipes.
default:
    @just --list

# Run the whole gate: what must pass before a change lands.
gate:
    bash .ci/run

# Check the formatting.
format:
    bash .ci/run format

# Lint everything, with and without the optional features.
lints:
    bash .ci/run lints

# Check the licences, sources and versions of what we depend on.
licences:
    bash .ci/run licences

# Check the units of systemd and launchd.
units:
    bash .ci/run units

# Build the pages of the code, private items too.
docs:
    bash .ci/run docs

# Run all tests; with a program and a part of a name, those: `just test engine two_way::`.
test program="" *names:
    {{ if program == "" { "bash .ci/run tests" } else { "cargo test --test " + program + " " + names } }}

# Try the stand-in, and a two-way folder, with Dropbox's own Python SDK.
sdk:
    bash .ci/run sdk device

# Link, sync and unlink with a real keyring.
keyring:
    bash .ci/run keyring

# Run the demo and end.
demo:
    bash .ci/run demo
