//! The `umbel` program: everything it does is in the library.

/// Unlike the allocator of glibc, it returns the memory of closed connections and replaced documents to the system.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    umbel::assembly::run()
}
