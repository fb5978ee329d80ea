// SPDX-License-Identifier: Apache-2.0
#include "model/prices.hpp"

namespace umbra::model {

double weight_of(Priority priority) {
  switch (priority) {
    case Priority::critical:
      return 4;
    case Priority::high:
      return 2;
    case Priority::normal:
      return 1;
    case Priority::low:
      return 0.5;
  }
  return 1;
}

}  // namespace umbra::model
