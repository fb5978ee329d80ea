// SPDX-License-Identifier: Apache-2.0
#include "cmd/errors.hpp"

#include <fmt/core.h>

#include "base/log.hpp"
#include "base/text.hpp"

namespace umbra::cmd {
namespace {

using base::Kind;

std::string usual_hint(Kind kind, const std::string& verb, const std::string& vm) {
  const std::string status = vm.empty() ? "umbra status" : "umbra status " + base::shell_word(vm);
  switch (kind) {
    case Kind::usage:
      return verb.empty() ? "umbra --help" : fmt::format("umbra {} --help", verb);
    case Kind::invalid:
      return "look at what was given; a record is made by umbra predict, or any verb with -o jsonl";
    case Kind::not_found:
    case Kind::refused:
    case Kind::cancelled:
      return "see how things stand: " + status;
    case Kind::unreachable:
    case Kind::timeout:
      return "see which host does not answer: umbra doctor";
    case Kind::busy:
      return "wait for it, then run the command again";
    case Kind::no_space:
      return "make room there, then run the command again";
    case Kind::interrupted:
      return "umbra switchover --recover";
    default:
      if (vm.empty()) return "run it again; if it stays so: umbra doctor";
      return fmt::format("run it again; if it stays so: umbra doctor, {}", status);
  }
}

}  // namespace

base::Error with_hint(base::Error error, const std::string& verb, const std::string& vm) {
  if (error.hint().empty()) error.set_hint(usual_hint(error.kind(), verb, vm));
  return error;
}

namespace {

void print(base::Level level, const base::Error& error, const std::string& verb, const std::string& subject) {
  std::string text = verb.empty() ? "" : verb + ": ";
  if (!subject.empty()) text += subject + ": ";
  text += error.what();
  text += "\n  hint: " + with_hint(error, verb, "").hint();
  base::log(level, text);
}

}  // namespace

void print_error(const base::Error& error, const std::string& verb, const std::string& subject) {
  print(base::Level::error, error, verb, subject);
}

void print_warning(const base::Error& found, const std::string& verb, const std::string& subject) {
  print(base::Level::warning, found, verb, subject);
}

}  // namespace umbra::cmd
