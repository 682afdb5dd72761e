//! The `umbel` program: everything it does is in the library.

fn main() -> std::process::ExitCode {
    umbel::assembly::run()
}
