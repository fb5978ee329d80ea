// SPDX-License-Identifier: Apache-2.0
#pragma once
// Libvirt's errors as base::Error. Which kind an error is follows from its numbers alone, never from its text.

#include <string>
#include <string_view>

#include "base/error.hpp"

namespace umbra::virt {

/// What libvirt says of one failure (virterror.h).
struct Failure {
  int code = 0;      ///< virErrorNumber
  int domain = 0;    ///< virErrorDomain: the part of libvirt that failed
  int os_error = 0;  ///< errno of a VIR_ERR_SYSTEM_ERROR
  std::string message;
};

base::Kind kind_of(const Failure& failure);

/// The failure of this thread's last libvirt call. Read it before any other call.
Failure last_failure();
/// As an Error: `what` names the act and its object ("freeze web1 on alpha").
base::Error to_error(const Failure& failure, std::string_view what, std::string hint = {});

/// Throws for a negative result, passes any other on.
int check(int result, std::string_view what);
/// Throws for a null pointer, passes any other on.
template <class T>
T* check(T* pointer, std::string_view what) {
  if (pointer == nullptr) throw to_error(last_failure(), what);
  return pointer;
}

}  // namespace umbra::virt
