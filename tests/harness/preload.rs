//! A small C library that is loaded together with the program and stands between it and the system: its clock, or a disk that fails.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    unreachable_pub,
    missing_docs
)]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

/// Before each library: `*told` is the number that the test sets, in the program and in what it starts.
const HEAD: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static volatile int64_t *told;
__attribute__((constructor)) static void begin(void) {
  int fd = open(getenv("TOLD"), O_RDWR | O_CLOEXEC);
  if (fd < 0) abort();
  void *at = mmap(0, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) abort();
  told = at;
  close(fd);
}
static int leads_to(int fd, const char *name) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  if (n < 0) return 0;
  path[n] = 0;
  return strstr(path, name) != 0;
}
"#;

/// The number that the library reads.
pub struct Told(File);

impl Told {
    pub fn set(&self, number: i64) {
        self.0.write_all_at(&number.to_ne_bytes(), 0).unwrap();
    }

    pub fn get(&self) -> i64 {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, 0).unwrap();
        i64::from_ne_bytes(bytes)
    }
}

/// Makes the library in `dir` and lets `command` load it.
pub fn load(dir: &Path, library: &str, command: &mut Command) -> Told {
    let at = |name: &str| dir.join(name);
    std::fs::write(at("preload.c"), format!("{HEAD}{library}")).unwrap();
    std::fs::write(at("told"), 0_i64.to_ne_bytes()).unwrap();
    // Whoever links Rust programs has a C compiler.
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(at("preload.so")).arg(at("preload.c")).output();
    let made = made.expect("this test needs a C compiler, `cc`");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    command.env("LD_PRELOAD", at("preload.so")).env("TOLD", at("told"));
    Told(File::options().read(true).write(true).open(at("told")).unwrap())
}
