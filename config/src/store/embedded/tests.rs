//! Tests of what only a file can do: crashes, full disks, locks and damage.
