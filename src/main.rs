//! The program. Everything is in the library, so that tests and the demo can be the program too.

use std::process::ExitCode;

fn main() -> ExitCode {
    ferrybox::cli::main(std::env::args_os())
}
