// SPDX-License-Identifier: Apache-2.0
#include "cmd/umbra.hpp"

namespace umbra::cmd {

int run(int, char**) { return 2; }

}  // namespace umbra::cmd
