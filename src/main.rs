//! Entry point of the `rstproof` program: passes the arguments to the library and exits with the code that it returns.

#[global_allocator]
static ALLOCATOR: rstproof::Allocator = rstproof::Allocator;

fn main() {
    let code = rstproof::cli::main(std::env::args_os());
    std::process::exit(code.number().into());
}
