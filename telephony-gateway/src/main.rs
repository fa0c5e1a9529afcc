//! The program `telephony`.

fn main() -> std::process::ExitCode {
    telephony_gateway::run()
}
