// SPDX-License-Identifier: Apache-2.0
#pragma once
// What an act fails with; the test fails where it does not.

#include <catch2/catch.hpp>
#include <stdexcept>

#include "base/error.hpp"

namespace umbra::test {

template <class Act>
base::Error error_of(Act&& act) {
  try {
    act();
  } catch (const base::Error& e) {
    UNSCOPED_INFO(e.what());
    return e;
  }
  FAIL("nothing was thrown");
  throw std::logic_error("unreachable");
}

template <class Act>
base::Kind kind_of(Act&& act) {
  return error_of(act).kind();
}

}  // namespace umbra::test
