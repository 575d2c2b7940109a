//! Arguments in, exit code out.

fn main() {
    let code = rstproof::cli::main(std::env::args_os());
    std::process::exit(code.number().into());
}
