// SPDX-License-Identifier: Apache-2.0
#pragma once
// Errors as a person reads them: what happened, then what to type next.

#include <string>

#include "base/error.hpp"

namespace umbra::cmd {

/// The error with a hint: its own, or else what helps with its kind. `vm` is empty where it is of no VM.
base::Error with_hint(base::Error error, const std::string& verb, const std::string& vm);

/// Prints the error on standard error, with its hint. `subject`: a VM, "line 3 of standard input", or nothing.
void print_error(const base::Error& error, const std::string& verb, const std::string& subject);
/// The same of what was found, where finding it is no failure.
void print_warning(const base::Error& found, const std::string& verb, const std::string& subject);

}  // namespace umbra::cmd
