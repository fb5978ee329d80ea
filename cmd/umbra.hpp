// SPDX-License-Identifier: Apache-2.0
#pragma once
// The whole program as a function: parses, runs one verb, gives the exit status.

namespace umbra::cmd {

int run(int argc, char** argv);

}  // namespace umbra::cmd
