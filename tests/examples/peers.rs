//! Builds the peers of the suites into the cache and says which cannot be had.

use std::process::ExitCode;
use umbel_tests::Peer;

fn main() -> ExitCode {
    let mut missing = 0;
    for peer in Peer::ALL {
        match peer.program() {
            Ok(program) => println!("  {}: {}", peer.name(), program.display()),
            Err(reason) => {
                missing += 1;
                println!("  MISSING {reason}");
            }
        }
    }
    if missing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
