//! Files that survive: write, fsync, rename, directory fsync, free space; real, and failing on purpose for tests.
