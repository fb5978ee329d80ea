// SPDX-License-Identifier: Apache-2.0
#include "cmd/umbra.hpp"

int main(int argc, char** argv) {
  return umbra::cmd::run(argc, argv);
}
