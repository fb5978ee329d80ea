// SPDX-License-Identifier: Apache-2.0
#define CATCH_CONFIG_RUNNER
#include <signal.h>

#include <catch2/catch.hpp>

int main(int argc, char** argv) {
  // As the program does: a peer that goes away is an error of the write, not the end of the process.
  ::signal(SIGPIPE, SIG_IGN);
  return Catch::Session().run(argc, argv);
}
