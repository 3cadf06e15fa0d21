# What a contributor types. Each recipe is a command that can be typed without `just`, too.

# What there is
default:
    @just --list

# Servers and real mail for the tests (as root, once)
setup:
    .ci/setup

# All that must hold before a change lands
check:
    .ci/run

# The tests but those that take minutes
test *args:
    cargo test --workspace {{args}}

# The tests that take minutes: every crash point, real servers
test-long:
    cargo test --workspace -- --ignored

# How quickly mail is copied: the table of docs/speed.md, in under five minutes
bench *args:
    cargo bench --bench throughput -- {{args}}

# How it does with much: 200,000 messages, a million rows, an account that Gmail has nearly all of, a thousand accounts
bench-long:
    cargo bench --bench throughput -- --long
    cargo bench --bench ledger
    cargo bench --bench adoption
    cargo bench --bench routes
    cargo bench --bench slow_target

# Look for bytes that break something: `just fuzz session 600`
fuzz target seconds="60":
    tests/fuzz/run {{target}} {{seconds}}

# The program between a mailbox and a Gmail that are played on this machine
demo:
    cargo run --release --example demo

# Write anew what the golden tests hold, then read the difference
words:
    UPDATE_WORDS=1 cargo test --workspace --test it -- words:: check:: mistakes:: audit::
    git diff --stat

# What a release consists of, into target/dist: `just release` makes all targets, `just release TARGET` one
release *targets:
    dist/release {{targets}}

# The Debian package of a target that was released
deb *target:
    dist/deb {{target}}

# All that lies in dist/, tried: chroots, a container, systemd, schemas (as root); `just dist-check words` is one part
dist-check *parts:
    dist/check {{parts}}
