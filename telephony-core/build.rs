//! Exists for the `links` key of `Cargo.toml`, which needs a build script. It does nothing.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
