//! The `skyvis` command.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    // Each thread allocates in places of its own. Where the kernel gives 2 MiB for the first byte of each of them, thirty
    // threads hold 60 MiB that nobody uses, and a host has less to keep footage in. What cannot be had is done without.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    skyvis::cli::main()
}
